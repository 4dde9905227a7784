//! What a rogue would sign if it were honest, and the forgery that needs no key.

use proto::{
    checked::sign,
    claims::{FlowEnd, KeyBytes, Receipt, Registration, Welcome},
    ids::{Address, ChannelBinding, Thumbprint},
    key::{SigningKey, sha256},
    time::Seconds,
};

use super::{Carried, Rogue, now};

/// A true registration.
pub(super) fn registration(
    rogue: &Rogue,
    key: &SigningKey,
    welcome: &Welcome,
    binding: ChannelBinding,
) -> Registration {
    let key = key.public();
    let issued_at = welcome.server_time.seconds();
    Registration {
        issuer: key.thumbprint(),
        subject: key.thumbprint(),
        audience: welcome.issuer,
        expires: later(issued_at),
        issued_at,
        session: welcome.session,
        key: KeyBytes(*key.as_bytes()),
        address: Address(rogue.address),
        protocols: rogue.protocols.clone(),
        pin: rogue.pin,
        channel_binding: binding,
        software: "rogue".to_owned(),
        peer_time: now(),
    }
}

/// A true receipt.
pub(super) fn receipt(rogue: &Rogue, carried: &Carried) -> Receipt {
    let me = rogue.key.public().thumbprint();
    let issued_at = now().seconds();
    Receipt {
        issuer: me,
        subject: me,
        audience: carried.announcement.issuer,
        expires: later(issued_at),
        issued_at,
        probe: carried.announcement.probe,
        nonce: carried.nonce,
        destination: carried.announcement.destination.clone(),
        up: carried.announcement.up,
        up_digest: carried.up,
        down: carried.announcement.down,
        down_digest: carried.down,
        opened: carried.opened,
        closed: carried.closed,
        end: FlowEnd::Lengths,
    }
}

/// The registration as if its key were the curve's identity point, and a signature that the permissive equation of RFC 8032
/// accepts under that key for any message: R the identity, S zero. It is written over a true one, since nothing here would sign it.
pub(super) fn forged(registration: &Registration, key: &SigningKey) -> anyhow::Result<Vec<u8>> {
    let mut identity = [0; 32];
    identity[0] = 1;
    let (true_key, true_name) = (key.public(), key.public().thumbprint());
    let name = Thumbprint::from_bytes(sha256(&identity));
    let mut bytes = sign(registration, key)?;
    replace(&mut bytes, true_key.as_bytes(), &identity);
    replace(&mut bytes, true_name.as_bytes(), name.as_bytes());
    replace(
        &mut bytes,
        true_name.to_string().as_bytes(),
        name.to_string().as_bytes(),
    );
    let signature = bytes.len() - 64;
    bytes[signature..].fill(0);
    bytes[signature] = 1;
    Ok(bytes)
}

/// Writes `new` over every `old` of the same length.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    for start in 0..=bytes.len().saturating_sub(old.len()) {
        if bytes[start..].starts_with(old) {
            bytes[start..start + old.len()].copy_from_slice(new);
        }
    }
}

fn later(from: Seconds) -> Seconds {
    Seconds::new(from.as_u64() + 60)
}
