//! Shell completions and manual pages, made from the command line's own description.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::exit::{ENVIRONMENT, Exit};

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Pages {
    /// The folder to write a page into for each command; without it the main page goes to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Completions {
    pub(super) fn run(&self, mut command: clap::Command) -> anyhow::Result<()> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}

impl Pages {
    pub(super) fn run(&self, command: clap::Command) -> anyhow::Result<()> {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        match &self.out {
            None => print(&page(&command, true)?),
            Some(folder) => {
                let failed = || format!("cannot write the manual to {}", folder.display());
                fs::create_dir_all(folder).with_context(failed)?;
                let written = write_all(&command, true, folder).with_context(failed)?;
                print(&format!("wrote {written} pages to {}\n", folder.display()))
            }
        }
    }
}

/// A reader that has gone away (`| head`) is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write the output"),
        _ => Ok(()),
    }
}

fn write_all(command: &clap::Command, is_root: bool, folder: &Path) -> io::Result<usize> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    fs::write(folder.join(format!("{name}.1")), page(command, is_root)?)?;
    let mut written = 1;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        written += write_all(inner, false, folder)?;
    }
    Ok(written)
}

fn page(command: &clap::Command, is_root: bool) -> io::Result<String> {
    let source = format!("peer-agent {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("Peer verification");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if !is_root && let Some(notes) = command.get_after_help() {
        notes_section(&notes.to_string()).to_writer(&mut page)?;
    }
    exit_section().to_writer(&mut page)?;
    environment_section().to_writer(&mut page)?;
    Ok(title_first(&String::from_utf8_lossy(&page)))
}

fn notes_section(notes: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    roff.control("nf", []);
    for line in notes.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

fn exit_section() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for exit in Exit::ALL {
        roff.control("TP", []);
        roff.text([bold(exit.code().to_string())]);
        roff.text([roman(format!("{} (must act: {})", exit.meaning(), exit.who()))]);
    }
    roff
}

fn environment_section() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in ENVIRONMENT {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(meaning)]);
    }
    roff
}

/// Each part comes with the definition of its apostrophe, which one page needs once, and behind its title.
fn title_first(page: &str) -> String {
    let is_definition = |line: &&str| line.starts_with(".ie ") || line.starts_with(".el ");
    let mut definitions: Vec<&str> = page.lines().filter(is_definition).collect();
    definitions.dedup();
    definitions.truncate(2);
    let mut lines = page.lines().filter(|line| !is_definition(line));
    let title: Vec<&str> = lines.by_ref().take(1).collect();
    let all = title.into_iter().chain(definitions).chain(lines);
    all.map(|line| format!("{line}\n")).collect()
}

const COMPLETIONS_HELP: &str = "\
Examples:
  peer-agent completions bash > ~/.local/share/bash-completion/completions/peer-agent
  peer-agent completions zsh > ~/.zfunc/_peer-agent
  peer-agent completions fish > ~/.config/fish/completions/peer-agent.fish";
