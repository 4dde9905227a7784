//! Claims a second. The claims are a real probe's; the reference is the bare signature, over as many bytes.

use std::hint::black_box;

use crate::{
    Scale,
    report::{Row, Unit},
    samples::Samples,
    usage,
};
use anyhow::{Context, ensure};
use attester::verify::{Demands, Trust, recheck};
use ed25519_dalek::{Signature, Signer, SigningKey as Bare};
use harness::{Behaviour, Cluster, Options, Peer};
use proto::{
    checked::{Signed, sign},
    claims::{
        Announcement, Challenge, Claim, EvidenceKind, Keyset, Observation, Outcome, Receipt, Registration, Statement,
        Succession, Verdict, Welcome,
    },
    evidence::Evidence,
    ids::{ChannelBinding, Nonce},
    key::{PublicKey, SigningKey},
    time::Clock,
};

/// All kinds of claims, then whole evidence.
pub(crate) fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    eprintln!("bench: claims: one real probe for its evidence");
    let runtime = tokio::runtime::Runtime::new()?;
    let (bytes, root, demands) = runtime.block_on(Box::pin(real_evidence()))?;
    // Nothing else shall run meanwhile.
    drop(runtime);
    let evidence = Evidence::decode(&bytes)?;
    let bench = Bench {
        rounds: scale.pick(15, 2),
        repeats: scale.pick(400, 2),
        key: SigningKey::from_seed(&SEED),
        bare: Bare::from_bytes(&SEED),
    };
    let mut rows = Vec::new();
    bench.kind(&welcome(), &mut rows)?;
    bench.of::<Keyset>(&evidence, EvidenceKind::Keyset, &mut rows)?;
    bench.kind(&succession()?, &mut rows)?;
    bench.of::<Registration>(&evidence, EvidenceKind::Registration, &mut rows)?;
    bench.of::<Announcement>(&evidence, EvidenceKind::Announcement, &mut rows)?;
    bench.of::<Challenge>(&evidence, EvidenceKind::Challenge, &mut rows)?;
    bench.of::<Statement>(&evidence, EvidenceKind::Statement, &mut rows)?;
    bench.of::<Observation>(&evidence, EvidenceKind::Observation, &mut rows)?;
    bench.of::<Receipt>(&evidence, EvidenceKind::Receipt, &mut rows)?;
    let verdict = &evidence.verdict.as_ref().context("stored evidence has a verdict")?.0;
    bench.kind(Signed::<Verdict>::parse(verdict)?.dangerously_unverified(), &mut rows)?;
    rows.extend(bench.evidence(&bytes, &root, demands)?);
    Ok(rows)
}

struct Bench {
    rounds: usize,
    repeats: u32,
    key: SigningKey,
    bare: Bare,
}

impl Bench {
    /// The claim of this kind in the evidence.
    fn of<C: Claim>(&self, evidence: &Evidence, kind: EvidenceKind, rows: &mut Vec<Row>) -> anyhow::Result<()> {
        let bytes = evidence
            .claim(kind)
            .with_context(|| format!("no {kind} in the evidence"))?;
        self.kind(Signed::<C>::parse(bytes)?.dangerously_unverified(), rows)
    }

    fn kind<C: Claim>(&self, claim: &C, rows: &mut Vec<Row>) -> anyhow::Result<()> {
        let bytes = sign(claim, &self.key)?;
        let public = self.key.public();
        let [bare_sign, bare_verify] = self.bare_work(bytes.len());
        rows.extend(
            self.compare(&format!("sign: {}", C::NAME), 1, "bare sign", bare_sign, || {
                black_box(sign(black_box(claim), &self.key)).is_ok()
            })?,
        );
        rows.extend(self.compare(
            &format!("read and verify: {}, {} B", C::NAME, bytes.len()),
            1,
            "bare verify_strict",
            bare_verify,
            || black_box(Signed::<C>::parse(black_box(&bytes)).and_then(|signed| signed.verify(&public))).is_ok(),
        )?);
        Ok(())
    }

    /// Decoding an evidence file and running V0 to V7 again, beside the bare check of as many signatures.
    fn evidence(&self, bytes: &[u8], root: &PublicKey, demands: Demands) -> anyhow::Result<Option<Row>> {
        let trust = Trust::of_root(*root);
        let [_, verify] = self.bare_work(bytes.len() / SIGNATURES);
        self.compare(
            &format!("decode evidence of {} B and recheck V0–V7", bytes.len()),
            SIGNATURES,
            "9 × bare verify_strict",
            verify,
            || recheck(black_box(bytes), &trust, demands).is_ok_and(|again| again.proof.is_some()),
        )
    }

    /// The bare signature over so many bytes, made and checked.
    fn bare_work(&self, length: usize) -> [Box<dyn Fn() -> bool + '_>; 2] {
        let message = vec![7; length];
        let signature: Signature = self.bare.sign(&message);
        let public = self.bare.verifying_key();
        let signed = message.clone();
        [
            Box::new(move || {
                black_box(self.bare.sign(black_box(&signed)));
                // It cannot fail.
                true
            }),
            Box::new(move || public.verify_strict(black_box(&message), &signature).is_ok()),
        ]
    }

    /// Both take turns; `bare` is done `times` times for each time of ours.
    fn compare(
        &self,
        what: &str,
        times: usize,
        bare_is: &str,
        bare: impl Fn() -> bool,
        ours: impl Fn() -> bool,
    ) -> anyhow::Result<Option<Row>> {
        let (mut own, mut reference) = (Samples::default(), Samples::default());
        for _ in 0..self.rounds {
            own.push(self.rate(&ours).with_context(|| what.to_owned())?);
            reference.push(
                self.rate(&|| (0..times).all(|_| bare()))
                    .with_context(|| bare_is.to_owned())?,
            );
        }
        Ok(Row::beside(
            "claims",
            what,
            Unit::PerSecond,
            &own,
            (bare_is, &reference),
        ))
    }

    /// Times a second of this thread's processor time: nobody is waited for, and neighbours do not count.
    fn rate(&self, work: &impl Fn() -> bool) -> anyhow::Result<f64> {
        let start = usage::thread_cpu()?;
        for _ in 0..self.repeats {
            ensure!(work(), "it failed");
        }
        let spent = usage::thread_cpu()?.saturating_sub(start);
        Ok(f64::from(self.repeats) / spent.as_secs_f64().max(1e-6))
    }
}

/// The evidence of a real proof, with the root key that it verifies under.
async fn real_evidence() -> anyhow::Result<(Vec<u8>, PublicKey, Demands)> {
    let cluster = Cluster::start(Options::quick()).await?;
    let peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await?;
    cluster.wait_standing(&peer, "verified").await?;
    let probes = cluster.probes(&peer).await?;
    let proved = probes.into_iter().find(|probe| probe.outcome == Outcome::Proved);
    let demands = Demands {
        goodput_body: cluster.options().goodput_body,
        goodput_floor: cluster.options().goodput_floor,
        ..Demands::default()
    };
    Ok((
        proved.context("a verified peer has a proof")?.evidence,
        cluster.root(),
        demands,
    ))
}

/// No evidence has one: that of a peer whose key was never changed has no successions.
fn succession() -> anyhow::Result<Succession> {
    let (old, new) = (SigningKey::from_seed(&SEED), SigningKey::from_seed(&[4; 32]));
    let pair = Succession::sign_pair(&old, &new, Clock::system().now())?;
    Ok(Signed::<Succession>::parse(&pair.by_old)?
        .dangerously_unverified()
        .clone())
}

/// No evidence has one.
fn welcome() -> Welcome {
    let now = Clock::system().now();
    Welcome {
        issuer: SigningKey::from_seed(&SEED).public().thumbprint(),
        expires: now.plus(std::time::Duration::from_secs(60)).seconds(),
        issued_at: now.seconds(),
        session: Nonce::from_bytes([1; 32]),
        channel_binding: ChannelBinding::from_bytes([2; 32]),
        server_time: now,
        versions: vec![1],
    }
}

const SEED: [u8; 32] = [3; 32];
/// What a recheck verifies: the eight claims, and the keyset once more for the verdict.
const SIGNATURES: usize = 9;
