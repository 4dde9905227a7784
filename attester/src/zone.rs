//! What DNS should show, from the lives of all peers: own names for the named, rotations for the verified (DESIGN 7).
//! A pure function of leases; the reconciler makes DNS agree.

use std::collections::BTreeSet;

use proto::time::Timestamp;

use crate::{
    decide::{Life, Standing},
    model::Reason,
    records::{Desired, Name, NameError},
};

/// The zone and its rotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZonePlan {
    /// The apex.
    pub zone: Name,
    /// The rotation's full name.
    pub rotation: Name,
    /// Address records carry no port, so a rotation has one.
    pub rotation_port: u16,
}

impl ZonePlan {
    /// The peer's own name.
    ///
    /// # Errors
    /// When the zone is so long that no peer's name fits below it; the configuration check prevents that.
    pub fn own_name(&self, life: &Life) -> Result<Name, NameError> {
        self.zone.child(&format!("peer-{}", life.identity().id()))
    }

    /// Why a verified peer is in no rotation, if it is not.
    pub fn keeps_out(&self, life: &Life) -> Option<Reason> {
        (life.identity().address.port() != self.rotation_port).then_some(Reason::Port)
    }

    /// The rotations' names.
    pub fn rotations(&self) -> BTreeSet<Name> {
        BTreeSet::from([self.rotation.clone()])
    }
}

/// A peer that was heard of recently enough to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Its life.
    pub life: &'a Life,
    /// Whether its membership was written down, so that a crash cannot forget it (promise P5).
    pub admitted: bool,
}

/// Everything that DNS should show at `now`.
pub fn desired<'a>(peers: impl IntoIterator<Item = Shown<'a>>, plan: &ZonePlan, now: Timestamp) -> Desired {
    let mut desired = Desired::new();
    for Shown { life, admitted } in peers.into_iter().filter(|peer| has_name(peer.life)) {
        if let Ok(own) = plan.own_name(life) {
            desired.name_peer(own, [life.identity().address.ip()]);
        }
        if admitted
            && plan.keeps_out(life).is_none()
            && let Some(proof) = life.membership(now)
        {
            desired.admit(plan.rotation.clone(), proof);
        }
    }
    desired
}

/// Whether a life's name may be shown: not once somebody else has its address. Who said goodbye keeps its name for a
/// while, so that clients which stick to it can finish.
fn has_name(life: &Life) -> bool {
    let taken = life
        .last()
        .is_some_and(|finding| finding.reason == Reason::AddressTaken);
    !(taken && matches!(life.standing(), Standing::Retired))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::IpAddr;

    use proto::claims::Protocol;

    use super::*;
    use crate::{
        decide::{Event, Rules},
        verify::fixture::{at, proof},
    };

    fn life(seed: u8, address: &str, proofs: u64) -> Life {
        let first = proof(seed, address, Protocol::Enproxy, 16, 0);
        let mut life = Life::registered(first.identity().clone()).after(Event::Named, at(0, 0), &Rules::default());
        for second in 1..=proofs {
            let protocol = if second % 2 == 0 {
                Protocol::Enproxy
            } else {
                Protocol::Connect
            };
            let next = proof(seed, address, protocol, 256 << 10, second);
            life = life.after(Event::Proved(Box::new(next)), at(second, 0), &Rules::default());
        }
        life
    }

    #[test]
    fn the_verified_on_the_rotations_port_and_nobody_else() {
        let zone = Name::parse("demo.test").unwrap();
        let plan = ZonePlan {
            rotation: zone.child("roundrobin").unwrap(),
            zone,
            rotation_port: 443,
        };
        let lives = [
            life(60, "192.0.2.1:443", 3),
            life(61, "192.0.2.2:443", 2),
            life(62, "192.0.2.3:8443", 3),
        ];
        let all = |admitted| lives.iter().map(move |life| Shown { life, admitted });
        let shown = desired(all(true), &plan, at(5, 0));
        let members: Vec<IpAddr> = shown.rotation(&plan.rotation).unwrap().iter().copied().collect();
        assert_eq!(members, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert!(
            lives
                .iter()
                .all(|life| shown.own(&plan.own_name(life).unwrap()).is_some())
        );
        assert_eq!(plan.keeps_out(&lives[2]), Some(Reason::Port));
        assert!(
            desired(all(false), &plan, at(5, 0)).rotation(&plan.rotation).is_none(),
            "not before it was written down"
        );
        let later = desired(all(true), &plan, at(400, 0));
        assert!(
            later.rotation(&plan.rotation).is_none(),
            "a lease that lapsed is not shown even before anyone noticed"
        );
    }
}
