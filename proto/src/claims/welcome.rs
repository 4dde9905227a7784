//! welcome: the attester opens a session.

use super::{Claim, claim_map};
use crate::{
    ids::{ChannelBinding, Nonce, Thumbprint},
    time::{Seconds, Timestamp},
};

claim_map! {
    /// What the attester tells an agent before it registers.
    pub struct Welcome {
        /// The attester key's thumbprint.
        1 => issuer: Thumbprint,
        /// When the offer ends.
        4 => expires: Seconds,
        /// When it was signed.
        6 => issued_at: Seconds,
        /// The session nonce, which the registration must repeat.
        10 => session: Nonce,
        /// The channel binding as the attester sees it; the agent's own must be equal (a relay in the middle differs).
        -65537 => channel_binding: ChannelBinding,
        /// The attester's clock; the agent signs in its terms.
        -65538 => server_time: Timestamp,
        /// Protocol versions on offer, ascending. See [`crate::version`].
        -65539 => versions: Vec<u64>,
    }
}

impl Claim for Welcome {
    const NAME: &'static str = "welcome";
    const TYP: &'static str = "application/peer-verification.welcome.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.issued_at, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        let ascending = self.versions.windows(2).all(|pair| pair[0] < pair[1]);
        if self.versions.is_empty() || self.versions.len() > 16 || !ascending {
            return Err("versions are 1 to 16 numbers in ascending order");
        }
        Ok(())
    }
}
