//! Protocol versions: which this program speaks, and which of those on offer two parties settle on.
//!
//! The version is the number in a claim's `typ`. A welcome offers a list; the agent takes the highest that it speaks too,
//! and an attester that speaks N offers N−1 as well, so that agents need not be updated on the same day.

/// The versions that this program speaks, in ascending order, as a welcome offers them.
pub const SPOKEN: &[u64] = &[1];

/// The version that two parties settle on: the highest in both lists.
///
/// ```
/// use proto::version::agree;
///
/// assert_eq!(agree(&[1, 2], &[1]), Some(1));
/// assert_eq!(agree(&[2, 3], &[1, 2]), Some(2));
/// assert_eq!(agree(&[2, 3], &[1]), None);
/// ```
pub fn agree(offered: &[u64], spoken: &[u64]) -> Option<u64> {
    offered.iter().filter(|version| spoken.contains(version)).max().copied()
}

/// The version in a `typ` that names the claim `name`; `None` when it names anything else.
///
/// ```
/// use proto::version::of_typ;
///
/// assert_eq!(of_typ("application/peer-verification.receipt.v2+cose", "receipt"), Some(2));
/// assert_eq!(of_typ("application/peer-verification.receipt.v2+cose", "verdict"), None);
/// assert_eq!(of_typ("application/peer-verification.receipt.v02+cose", "receipt"), None);
/// ```
pub fn of_typ(typ: &str, name: &str) -> Option<u64> {
    let version = typ
        .strip_prefix("application/peer-verification.")?
        .strip_prefix(name)?
        .strip_prefix(".v")?
        .strip_suffix("+cose")?;
    let number: u64 = version.parse().ok()?;
    // One spelling: no sign, no leading zero.
    (number.to_string() == version).then_some(number)
}

/// Versions as people read them: `1` or `1, 2`.
pub fn listed(versions: &[u64]) -> String {
    let texts: Vec<String> = versions.iter().map(u64::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{
        Announcement, Challenge, Claim, Keyset, Observation, Receipt, Registration, Statement, Succession, Verdict,
        Welcome,
    };

    #[test]
    fn the_highest_common_version_wins_whatever_the_order() {
        for (offered, spoken, agreed) in [
            (&[1][..], &[1][..], Some(1)),
            (&[1, 2], &[1], Some(1)),
            (&[1, 2], &[1, 2], Some(2)),
            (&[2, 3], &[1, 2], Some(2)),
            (&[3, 4], &[1, 2], None),
            (&[], &[1], None),
            (&[u64::MAX], &[1], None),
        ] {
            assert_eq!(agree(offered, spoken), agreed, "{offered:?} {spoken:?}");
        }
    }

    #[test]
    fn every_claim_is_of_a_spoken_version() {
        fn spoken<T: Claim>() {
            assert_eq!(of_typ(T::TYP, T::NAME), SPOKEN.last().copied(), "{}", T::NAME);
        }
        spoken::<Keyset>();
        spoken::<Welcome>();
        spoken::<Registration>();
        spoken::<Succession>();
        spoken::<Announcement>();
        spoken::<Challenge>();
        spoken::<Statement>();
        spoken::<Observation>();
        spoken::<Receipt>();
        spoken::<Verdict>();
        assert!(SPOKEN.windows(2).all(|pair| pair[0] + 1 == pair[1]), "N−1 and N");
    }

    #[test]
    fn a_typ_has_one_spelling() {
        let of = |version: &str| {
            of_typ(
                &format!("application/peer-verification.verdict.{version}+cose"),
                "verdict",
            )
        };
        assert_eq!(of("v18446744073709551615"), Some(u64::MAX));
        for other in ["v18446744073709551616", "v", "v+1", "v01", "v-1", "1", "v1 ", "v1+cose"] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
