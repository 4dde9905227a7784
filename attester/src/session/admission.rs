//! Whether a registration may be believed: the rules that need no look at the world (DESIGN 4.2, step 1). Whether the
//! claimed address also answers with the claimed key is for the core to try.

use std::{net::IpAddr, time::Duration};

use proto::{
    ClaimError,
    checked::Signed,
    claims::{Chain, Link, Registration, SuccessionPair},
    ids::{ChannelBinding, Nonce, PeerId, Thumbprint},
    key::PublicKey,
    time::Timestamp,
};

use crate::model::{Finding, Reason};

use super::reserved;

/// What a registration is held against: the session that it came in.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The attester key that signed the welcome.
    pub attester: Thumbprint,
    /// The welcome's nonce.
    pub session: Nonce,
    /// The channel binding of the session's connection.
    pub channel_binding: ChannelBinding,
    /// Where that connection comes from.
    pub source: IpAddr,
    /// Whether peers may be at reserved addresses (tests, private networks).
    pub allow_private: bool,
    /// The attester's clock when the registration arrived.
    pub now: Timestamp,
}

/// A registration that keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The claim.
    pub registration: Registration,
    /// The token that CONNECT clients must present, if one is needed.
    pub connect_token: Option<String>,
    /// How the identity came to the registered key, oldest first.
    pub chain: Vec<Link>,
}

/// What comes with a registration, unchecked.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The token that CONNECT clients must present; empty when none is needed.
    pub connect_token: String,
    /// How the identity came to the key.
    pub successions: Vec<SuccessionPair>,
}

/// A registration that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who signed it, when its signature holds.
    pub peer: Option<PeerId>,
    /// Which rule it breaks, the first in order.
    pub finding: Finding,
}

/// Checks a registration and what comes with it.
///
/// # Errors
/// The first rule that is broken.
pub fn admit(raw: &[u8], beside: Beside, terms: &Terms) -> Result<Admitted, Refused> {
    let unreadable = |detail: String| Refused {
        peer: None,
        finding: Finding::new(Reason::RegistrationInvalid, detail),
    };
    let signed = Signed::<Registration>::parse(raw).map_err(|error| unreadable(error.to_string()))?;
    let signer = signed.key_id().peer_id();
    let timely = signed
        .verify_with_own_key()
        .map_err(|error| unreadable(error.to_string()))?;
    let refused = |reason, detail: &str| Refused {
        peer: Some(signer.clone()),
        finding: Finding::new(reason, detail),
    };
    let registration = timely
        .at(terms.now, LEEWAY)
        .map_err(|error| refused(Reason::RegistrationSession, &error.to_string()))?;
    if let Some((reason, detail)) = broken_rule(&registration, terms) {
        return Err(refused(reason, &detail));
    }
    let connect_token =
        readable_token(&beside.connect_token).map_err(|told| refused(Reason::RegistrationInvalid, told))?;
    // Last, for it takes the most signatures.
    let chain = PublicKey::from_bytes(&registration.key.0)
        .map_err(ClaimError::Key)
        .and_then(|key| Chain::verify(beside.successions, &key))
        .and_then(|chain| chain.at(terms.now, LEEWAY))
        .map_err(|error| refused(Reason::SuccessionInvalid, &error.to_string()))?;
    Ok(Admitted {
        registration,
        connect_token,
        chain,
    })
}

fn broken_rule(registration: &Registration, terms: &Terms) -> Option<(Reason, String)> {
    let claimed = registration.address.0.ip();
    let source = terms.source.to_canonical();
    if registration.audience != terms.attester {
        Some((Reason::RegistrationSession, "it is for another attester".to_owned()))
    } else if registration.session != terms.session {
        Some((
            Reason::RegistrationSession,
            "it repeats another session's nonce".to_owned(),
        ))
    } else if registration.channel_binding != terms.channel_binding {
        Some((Reason::Relay, "the channel bindings of the two ends differ".to_owned()))
    } else if claimed != source {
        Some((
            Reason::AddressNotSource,
            format!("claimed {claimed}, the session comes from {source}"),
        ))
    } else if !terms.allow_private && !reserved::is_public(claimed) {
        Some((Reason::AddressReserved, format!("claimed {claimed}")))
    } else {
        None
    }
}

/// The token travels in a header of CONNECT requests, whose ends are trimmed.
fn readable_token(token: &str) -> Result<Option<String>, &'static str> {
    if token.len() > MAX_TOKEN {
        return Err("the CONNECT token is longer than 256 bytes");
    }
    if !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) || token.trim() != token {
        return Err("the CONNECT token is not printable ASCII, or begins or ends with a space");
    }
    Ok((!token.is_empty()).then(|| token.to_owned()))
}

const MAX_TOKEN: usize = 256;
/// The agent signs in terms of the welcome's clock, which it reads a moment after it was written.
const LEEWAY: Duration = Duration::from_secs(2);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
