//! How a judged file is told: at length with every check, in a line, or as JSON.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::{
    super::show,
    judge::{Judged, Judgement},
};
use crate::{
    model::Finding,
    verify::{
        Verified,
        account::{Compared, Line, Value, Went},
    },
};

/// A line of the table of many files.
pub(super) type Row = (&'static str, [String; 6]);

/// Everything about one file, for people.
pub(super) fn at_length(name: &str, judged: &Judged) -> String {
    let mut text = String::new();
    text += &show::bold(&format!("{:<CHECK$}{:<RESULT$}WHAT IT LOOKED AT", "CHECK", "RESULT"));
    text.push('\n');
    for line in &judged.lines {
        let (result, tone) = result(&line.went);
        let looked_at = paragraphs(line);
        let mut looked_at = looked_at.iter();
        let first = looked_at.next().map_or("", String::as_str);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<CHECK$}{}{first}",
            line.check.name(),
            show::painted(&format!("{result:<RESULT$}"), tone)
        );
        for more in looked_at {
            let _ = writeln!(text, "{:width$}{more}", "", width = CHECK + RESULT);
        }
    }
    let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("{}\n\n{}", trimmed.join("\n"), conclusion(name, judged))
}

/// What it comes to, for people.
fn conclusion(name: &str, judged: &Judged) -> String {
    let mut text = String::new();
    let sentence = match &judged.judgement {
        Judgement::Proved(..) => show::painted(&format!("{name} verifies: the peer was proved."), "proved"),
        Judgement::Authentic(verdict, _) => {
            let signed = format!(
                "{name} is authentic, and proves nothing: the attester signed {}.",
                verdict.outcome
            );
            show::painted(&signed, "inconclusive")
        }
        Judgement::Invalid(..) => show::painted(&format!("{name} does not verify."), "failed"),
    };
    text += &sentence;
    text.push('\n');
    for (key, value) in facts(judged) {
        text += &show::field(key, &value);
    }
    text
}

fn facts(judged: &Judged) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(verdict) = judged.verdict() {
        facts.push(("peer", verdict.subject.peer_id().to_string()));
        facts.push(("probe", verdict.probe.to_string()));
        facts.push(("concluded", show::clock_time(verdict.issued_at.start())));
        let until = show::clock_time(verdict.expires.start());
        facts.push(("standing", format!("{}, until {until}", verdict.standing)));
        facts.push(("revocations", judged.revocations.told()));
    }
    match &judged.judgement {
        Judgement::Proved(_, proof) => {
            let identity = proof.identity();
            facts.push(("address", format!("{} ({})", identity.address, identity.protocols)));
            facts.push(("proven", proven(proof)));
        }
        Judgement::Authentic(verdict, shown) => {
            facts.push(("reason", verdict.reason.clone()));
            facts.push(("remedy", verdict.remedy.clone()));
            facts.push(("evidence", shown.clone()));
        }
        Judgement::Invalid(check, finding) => {
            facts.push(("because", because(*check, finding)));
        }
    }
    facts
}

fn proven(proof: &Verified) -> String {
    let routes: Vec<String> = proof.routes().keys().map(ToString::to_string).collect();
    let goodput = proof
        .goodput()
        .map_or_else(String::new, |goodput| format!(", {} KiB/s", goodput.rate >> 10));
    format!("{}{goodput}", routes.join(", "))
}

fn because(check: Option<crate::verify::account::Check>, finding: &Finding) -> String {
    let told = match finding.detail() {
        "" => finding.reason.to_string(),
        detail => format!("{}: {detail}", finding.reason),
    };
    match check {
        Some(check) => format!("{check}: {told}"),
        None => told,
    }
}

/// What a check looked at, in lines of the third column.
fn paragraphs(line: &Line) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let last = line.compared.len().saturating_sub(1);
    for (at, compared) in line.compared.iter().enumerate() {
        let comma = if at < last { "," } else { "" };
        words.push(format!("{}{comma}", said(compared)));
    }
    let mut lines = show::wrapped(&words, WIDTH - CHECK - RESULT);
    let more = match &line.went {
        Went::Failed(finding) => because(None, finding),
        Went::Taken(why) | Went::LeftOut(why) => (*why).to_owned(),
        Went::Held | Went::NotReached => return lines,
    };
    let more: Vec<String> = more.split(' ').map(str::to_owned).collect();
    lines.extend(show::wrapped(&more, WIDTH - CHECK - RESULT));
    lines
}

fn said(compared: &Compared) -> String {
    let found = shown(&compared.found, !compared.held);
    let what = compared.what;
    match &compared.must {
        None => format!("{what} {found}"),
        // What is as it must be needs to be said once.
        Some((crate::verify::account::Relation::Equal, _)) if compared.held => format!("{what} {found}"),
        Some((relation, must)) => {
            let must = shown(must, !compared.held);
            match compared.held {
                true => format!("{what} {found} {} {must}", relation.sign()),
                false => format!("{what} {found}, which is not {} {must}", relation.sign()),
            }
        }
    }
}

/// A value for people; digests and ids cut, unless they are what matters.
fn shown(value: &Value, whole: bool) -> String {
    match value {
        Value::Text(text) if !whole && text.len() >= LONG && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("{}…", &text[..SHORT])
        }
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Time(time) => show::clock_time_millis(*time),
    }
}

const fn result(went: &Went) -> (&'static str, &'static str) {
    match went {
        Went::Held => ("held", "proved"),
        Went::Failed(_) => ("failed", "failed"),
        Went::Taken(_) => ("taken as held", "inconclusive"),
        Went::LeftOut(_) => ("not applicable", ""),
        Went::NotReached => ("not reached", "retired"),
    }
}

/// A line of the table of many files.
pub(super) fn row(name: &str, judged: &Judged) -> Row {
    let dash = || "-".to_owned();
    let (word, why) = match &judged.judgement {
        Judgement::Proved(_, proof) => ("proved", proven(proof)),
        Judgement::Authentic(verdict, _) => ("authentic", verdict.reason.clone()),
        Judgement::Invalid(check, finding) => ("invalid", because(*check, finding)),
    };
    let tone = match word {
        "proved" => "proved",
        "authentic" => "inconclusive",
        _ => "failed",
    };
    let verdict = judged.verdict();
    let cells = [
        name.to_owned(),
        word.to_owned(),
        verdict.map_or_else(dash, |verdict| verdict.subject.peer_id().to_string()),
        verdict.map_or_else(dash, |verdict| show::clock_time(verdict.issued_at.start())),
        verdict.map_or_else(dash, |verdict| verdict.outcome.to_string()),
        why,
    ];
    (tone, cells)
}

/// Many files, a line each, for people.
pub(super) fn in_short(rows: Vec<Row>) -> String {
    show::table(["FILE", "RESULT", "PEER", "WHEN (UTC)", "VERDICT", "WHY"], rows)
}

/// A judged file for programs.
pub(super) fn object(name: &str, judged: &Judged) -> Json {
    let (result, why) = match &judged.judgement {
        Judgement::Proved(..) => ("proved", Json::Null),
        Judgement::Authentic(_, shown) => ("authentic", json!(shown)),
        Judgement::Invalid(check, finding) => ("invalid", json!(because(*check, finding))),
    };
    let verdict = judged.verdict();
    let proof = judged.proof();
    let (revocations, as_of) = judged.revocations.word();
    json!({
        "kind": "evidence",
        "file": name,
        "result": result,
        "why": why,
        "bytes": judged.bytes,
        "sha256": judged.digest.to_string(),
        "peer": verdict.map(|verdict| verdict.subject.peer_id().to_string()),
        "probe": verdict.map(|verdict| verdict.probe.to_string()),
        "at": verdict.map(|verdict| show::rfc3339(verdict.issued_at.start())),
        "outcome": verdict.map(|verdict| verdict.outcome),
        "standing": verdict.map(|verdict| &verdict.standing),
        "reason": verdict.map(|verdict| &verdict.reason).filter(|reason| !reason.is_empty()),
        "expires": verdict.map(|verdict| show::rfc3339(verdict.expires.start())),
        "revocations": revocations,
        "revocations_as_of": as_of.map(|second| show::rfc3339(second.start())),
        "address": proof.map(|proof| proof.identity().address),
        "route": proof.and_then(|proof| proof.routes().keys().next()).map(ToString::to_string),
        "goodput": proof.and_then(Verified::goodput).map(|goodput| goodput.rate),
        "checks": judged.lines.iter().map(check_object).collect::<Vec<_>>(),
    })
}

/// A file that cannot be read, for programs.
pub(super) fn unreadable(name: &str, why: &str) -> Json {
    json!({ "kind": "evidence", "file": name, "result": "unreadable", "why": why })
}

fn check_object(line: &Line) -> Json {
    let (result, reason, detail) = match &line.went {
        Went::Held => ("held", None, None),
        Went::Failed(finding) => ("failed", Some(finding.reason.code()), Some(finding.detail())),
        Went::Taken(why) => ("taken", None, Some(*why)),
        Went::LeftOut(why) => ("left-out", None, Some(*why)),
        Went::NotReached => ("not-reached", None, None),
    };
    let value = |value: &Value| match value {
        Value::Text(text) => json!(text),
        Value::Number(number) => json!(number),
        Value::Time(time) => json!(show::rfc3339(*time)),
    };
    let compared = |compared: &Compared| {
        json!({
            "what": compared.what,
            "found": value(&compared.found),
            "relation": compared.must.as_ref().map(|(relation, _)| relation.sign()),
            "must": compared.must.as_ref().map(|(_, must)| value(must)),
            "held": compared.held,
        })
    };
    json!({
        "check": line.check.name(),
        "result": result,
        "reason": reason,
        "detail": detail,
        "compared": line.compared.iter().map(compared).collect::<Vec<_>>(),
    })
}

/// Columns of the table of checks.
const CHECK: usize = 14;
const RESULT: usize = 16;
const WIDTH: usize = show::WIDTH;
/// Texts of letters and digits from this length on are cut to the second.
const LONG: usize = 26;
const SHORT: usize = 12;
