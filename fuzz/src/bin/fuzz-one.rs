//! `fuzz-one TARGET FILE…`: says of each file what each property of the target found. `fuzz-one --list` lists the targets.
//!
//! The exit code is 0 when every property held or did not apply, 1 when one is broken, 2 when it was asked for something
//! that there is not.

use std::{
    env,
    io::{self, Read, Write},
    process::ExitCode,
};

use fuzz::{Input, NO_PANIC, TARGETS, Target, Verdict};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--help" | "-h"] => writeln!(io::stdout(), "{USAGE}").map(|()| ExitCode::SUCCESS),
        ["--list"] => list(),
        ["--names"] => names(),
        ["--properties", name] => properties(name),
        [name, files @ ..] if !files.is_empty() && !name.starts_with('-') => look(name, files),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fuzz-one: {error}");
            ExitCode::from(2)
        }
    }
}

fn list() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for target in TARGETS {
        let input = match target.input {
            Input::Bytes => "bytes",
            Input::Choices => "choices",
        };
        writeln!(out, "{:<18} {input:<8} {}", target.name, target.says)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn names() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    TARGETS.iter().try_for_each(|target| writeln!(out, "{}", target.name))?;
    Ok(ExitCode::SUCCESS)
}

fn properties(name: &str) -> io::Result<ExitCode> {
    let target = find(name)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}: {}", target.name, target.says)?;
    for property in target.properties.iter().chain([&NO_PANIC]) {
        writeln!(out, "  {:<28} {}", property.name, property.says)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn look(name: &str, files: &[&str]) -> io::Result<ExitCode> {
    let target = find(name)?;
    // A panic of what is looked at is told in a property's words.
    std::panic::set_hook(Box::new(|_| {}));
    let mut broken = false;
    for file in files {
        broken |= one(target, file)?;
    }
    Ok(ExitCode::from(u8::from(broken)))
}

/// Looks at one file; whether a property is broken.
fn one(target: &Target, file: &str) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let read = if file == "-" {
        io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    read.map_err(|error| io::Error::new(error.kind(), format!("cannot read {file}: {error}")))?;
    let report = target.examine(&bytes);
    let mut out = io::stdout().lock();
    writeln!(out, "{file}: {} bytes for {}", bytes.len(), target.name)?;
    for note in report.notes() {
        writeln!(out, "  | {note}")?;
    }
    let mut broken = false;
    for property in target.properties.iter().chain([&NO_PANIC]) {
        let found = match report.verdict(*property) {
            Verdict::Held => "held".to_owned(),
            Verdict::DidNotApply => "did not apply".to_owned(),
            Verdict::Broken(why) => {
                broken = true;
                format!("BROKEN: {why}")
            }
        };
        writeln!(out, "  {:<28} {found}", property.name)?;
    }
    Ok(broken)
}

fn find(name: &str) -> io::Result<&'static Target> {
    fuzz::target(name).ok_or_else(|| {
        let message = format!("there is no target {name}: `fuzz-one --list` lists them");
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}

const USAGE: &str =
    "usage: fuzz-one TARGET FILE…         what each property finds in each file (- is the standard input)
       fuzz-one --properties TARGET  what the target's properties say
       fuzz-one --list               every target: its input is bytes as they travel, or choices that build something
       fuzz-one --names              only their names

exit code: 0 every property held or did not apply, 1 one is broken, 2 the call cannot be carried out";
