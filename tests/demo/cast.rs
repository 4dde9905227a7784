//! Who takes part: which peer is where, and what it does.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use harness::{Behaviour, Fate};

/// One peer of the demo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    /// Its number, which is in its address.
    pub(crate) number: u8,
    /// What it is announced to do, and so what must become of it.
    pub(crate) behaviour: Behaviour,
    /// What it does: the same, unless a test swapped it.
    pub(crate) plays: Behaviour,
}

impl Role {
    /// Its address.
    pub(crate) const fn ip(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 77, self.number, 1))
    }

    /// What must become of it.
    pub(crate) const fn fate(&self) -> Fate {
        self.behaviour.fate()
    }

    /// Whether it may ever be in the rotation: the honest, and who turns hostile only after that.
    pub(crate) const fn may_enter(&self) -> bool {
        matches!(self.fate(), Fate::Admitted | Fate::Suspended(_))
    }
}

/// `peer 7`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("peer {}", self.number))
    }
}

/// `a=b`: who is announced as `a` behaves as `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swap {
    announced: Behaviour,
    plays: Behaviour,
}

impl FromStr for Swap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (announced, plays) = text
            .split_once('=')
            .ok_or("should be two behaviours: truncates=flips-byte")?;
        let announced = named(announced)?;
        if !CAST.contains(&announced) {
            return Err(format!("nobody in the demo is announced as {announced}"));
        }
        Ok(Self {
            announced,
            plays: named(plays)?,
        })
    }
}

/// Everybody, numbered from 1.
pub(crate) fn cast(swaps: &[Swap]) -> Vec<Role> {
    let role = |(number, behaviour): (u8, &Behaviour)| {
        let swap = swaps.iter().find(|swap| swap.announced == *behaviour);
        Role {
            number,
            behaviour: *behaviour,
            plays: swap.map_or(*behaviour, |swap| swap.plays),
        }
    };
    (1..).zip(CAST).map(role).collect()
}

fn named(name: &str) -> Result<Behaviour, String> {
    let behaviour = Behaviour::ALL.iter().find(|behaviour| behaviour.name() == name);
    behaviour.copied().ok_or_else(|| {
        let names: Vec<&str> = Behaviour::ALL.iter().map(|behaviour| behaviour.name()).collect();
        format!("no behaviour is named {name:?}; there are {}", names.join(", "))
    })
}

/// Who is switched off and on again: not the first, through which hostile peers leave.
pub(crate) const SWITCHED_OFF: Behaviour = Behaviour::EnproxyPath;

/// The honest, the hostile, and those who turn hostile once they were admitted.
const CAST: &[Behaviour] = &[
    Behaviour::Enproxy,
    Behaviour::EnproxyPath,
    Behaviour::Connect,
    Behaviour::Slow,
    Behaviour::All,
    Behaviour::AcceptsThenSilent,
    Behaviour::Answers200,
    Behaviour::ReplaysBody,
    Behaviour::FlipsByte,
    Behaviour::Truncates,
    Behaviour::SignsWithAnotherKey,
    Behaviour::SignsAnotherNonce,
    Behaviour::NoReceipt,
    Behaviour::ExitsElsewhere,
    Behaviour::ClaimsAnotherAddress,
    Behaviour::TurnsSilent,
    Behaviour::TurnsFlipping,
    Behaviour::TurnsReceiptless,
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the demo promises about who takes part.
    #[test]
    fn the_cast_is_as_promised() {
        let cast = cast(&[]);
        let honest = cast.iter().filter(|role| role.behaviour.is_honest()).count();
        let turning = cast
            .iter()
            .filter(|role| matches!(role.fate(), Fate::Suspended(_)))
            .count();
        assert!(
            (4..=8).contains(&honest) && cast.len() - honest >= 10 && turning >= 3,
            "{cast:?}"
        );
        let distinct: BTreeSet<Behaviour> = cast.iter().map(|role| role.behaviour).collect();
        assert_eq!(distinct.len(), cast.len(), "a swap names one of them");
        // Every hostile one has one reason for which it must be found out, and the one that is switched off is honest.
        assert!(
            cast.iter()
                .all(|role| role.behaviour.is_honest() == role.fate().reason().is_none())
        );
        assert!(
            cast.iter()
                .skip(1)
                .any(|role| role.behaviour == SWITCHED_OFF && role.behaviour.is_honest())
        );
    }

    #[test]
    fn a_swap_changes_what_one_does_and_not_what_it_deserves() {
        let swap: Swap = "truncates=enproxy".parse().unwrap();
        let swapped = cast(&[swap]);
        let (others, changed): (Vec<&Role>, Vec<&Role>) = swapped.iter().partition(|role| role.plays == role.behaviour);
        assert_eq!(others.len(), CAST.len() - 1);
        let changed: Vec<_> = changed
            .iter()
            .map(|role| (role.behaviour, role.plays, role.may_enter()))
            .collect();
        assert_eq!(changed, [(Behaviour::Truncates, Behaviour::Enproxy, false)]);
        for wrong in ["truncates", "truncates=", "nonsense=enproxy", "too-slow=enproxy"] {
            assert!(wrong.parse::<Swap>().is_err(), "{wrong}");
        }
    }
}
