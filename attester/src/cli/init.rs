//! `attester init`: a commented configuration and new keys.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use proto::time::Clock;
use rand::{SeedableRng, rngs::StdRng};

use super::{Failure, progress, runtime, show};
use crate::{
    config::{Config, Initial, initial},
    keys::{Keys, KeysError},
};

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Everything on loopback, private peers allowed: for a trial on one machine
    #[arg(long)]
    local: bool,
    /// The folder of the keys and the state file [default: state, beside the configuration]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The configuration to write
    #[arg(long, value_name = "FILE", default_value = "attester.toml")]
    config: PathBuf,
    /// The zone that this attester answers for
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// Where peers reach the origin
    #[arg(long, value_name = "HOST:PORT")]
    destination: Option<String>,
}

impl Init {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let text = self.text()?;
        let unchecked = |source| Failure::Config { source };
        let mut config = Config::parse(&text).map_err(|error| unchecked(anyhow::Error::new(error)))?;
        let folder = self.config.parent().unwrap_or(Path::new(""));
        config.attester.state = folder.join(&config.attester.state);
        if self.config.exists() {
            return Err(exists(&self.config));
        }
        if !folder.as_os_str().is_empty() {
            fs::create_dir_all(folder)
                .map_err(|source| Failure::state("cannot create the configuration's folder", source))?;
        }
        let mut rng = StdRng::try_from_rng(&mut rand::rngs::SysRng)
            .map_err(|source| Failure::state("the system gives no random numbers", source))?;
        let make = || Keys::create(&config.keys_folder(), &mut rng, Clock::system().now());
        let keys = progress::patiently_blocking(&runtime()?, "waiting for the key files", make);
        let keys = keys.map_err(|source: KeysError| Failure::State { source: source.into() })?;
        write_new(&self.config, &text)?;
        show::print(&self.next(&config, &keys))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The text of the configuration.
    fn text(&self) -> Result<String, Failure> {
        let state = self.state.as_deref().map(|state| self.state_text(state)).transpose()?;
        Ok(initial(&Initial {
            local: self.local,
            state: state.as_deref(),
            zone: self.zone.as_deref(),
            destination: self.destination.as_deref(),
        }))
    }

    /// A folder that was named from here, as the configuration must name it from its own folder.
    fn state_text(&self, state: &Path) -> Result<String, Failure> {
        let beside = self.config.parent().is_none_or(|folder| folder.as_os_str().is_empty());
        let state = if beside {
            state.to_owned()
        } else {
            std::path::absolute(state).map_err(|source| Failure::state("cannot name the state folder", source))?
        };
        let text = state.into_os_string().into_string();
        text.map_err(|state| Failure::Config {
            source: anyhow::anyhow!("the state folder {state:?} is not UTF-8"),
        })
    }

    /// What was written and what to do now.
    fn next(&self, config: &Config, keys: &Keys) -> String {
        let (file, root) = (self.config.display(), keys.root_public);
        let unset = [
            ("dns.zone", self.zone.is_none()),
            ("origin.destination", self.destination.is_none()),
        ];
        let unset: Vec<&str> = unset
            .iter()
            .filter(|(_, unset)| *unset && !self.local)
            .map(|(key, _)| *key)
            .collect();
        let edit = if unset.is_empty() {
            String::new()
        } else {
            format!("  # set {} in {file}\n", unset.join(" and "))
        };
        let attester = if self.local {
            config.attester.listen.to_string()
        } else {
            format!("HOST:{}", config.attester.listen.port())
        };
        let here = if self.config == Path::new("attester.toml") {
            String::new()
        } else {
            format!(" --config {file}")
        };
        format!(
            "wrote {file}\n\
            wrote {keys} (root, attester, origin and prober keys, and the keyset)\n\
            root public key, which agents pin: {root}\n\
            \n\
            next:\n\
            {edit}\
            \x20 attester check-config{here}\n\
            \x20 attester serve{here}\n\
            \x20 peer-agent init --state peer1 --attester {attester} --root {root} --address {address}:{rotation_port}\n\
            \x20 dig @127.0.0.1 -p {port} {rotation}\n",
            keys = config.keys_folder().display(),
            address = if self.local { "127.77.1.1" } else { "PUBLIC_IP" },
            rotation_port = config.dns.rotation_port,
            port = config.dns.listen.port(),
            rotation = config.dns.rotation,
        )
    }
}

/// Writes the configuration with mode 0600, if there is none.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    use io::Write;

    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::state("cannot write the configuration", source),
    })
}

fn exists(path: &Path) -> Failure {
    let source = anyhow::anyhow!(
        "{} exists, and is never overwritten: name another file with --config, or move this one away",
        path.display()
    );
    Failure::State { source }
}
