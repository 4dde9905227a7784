//! A folder to run the program in.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use attester::store::{Store, StoreError};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Place(TempDir);

/// What a run left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With keys, and a configuration for one machine whose listeners take any port.
    pub(crate) fn initialised() -> Self {
        let place = Self::new();
        let ran = place.run(&["init", "--local"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let config = place.read("attester.toml");
        let mut text = String::new();
        for line in config.lines() {
            match line.split_once(" = ") {
                Some(("listen", _)) => text += "listen = \"127.0.0.1:0\"\n",
                // The origin's own address then.
                Some(("destination", _)) => {}
                _ => text += &format!("{line}\n"),
            }
        }
        place.write("attester.toml", &text);
        place
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The program, not started yet, without anything of this process's terminal.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attester"));
        command.args(arguments).current_dir(self.folder()).stdin(Stdio::null());
        for name in [
            "CI",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "RUST_LOG",
            "NOTIFY_SOCKET",
            "COLUMNS",
        ] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm");
        command
    }

    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Runs a command with `--json`: the code and the objects.
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let ran = self.run(&[arguments, &["--json"]].concat());
        let objects = ran.out.lines().map(|line| serde_json::from_str(line).unwrap());
        (ran.code, objects.collect())
    }

    /// Fills the state file, as an attester does.
    pub(crate) fn fill(&self, fill: impl AsyncFnOnce(&Store)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let store = opened(&self.path("state/attester.db")).await;
            fill(&store).await;
            store.close().await;
        });
    }
}

/// Opens a state file, once nobody holds it: a program that another test starts just then has a copy of each lock of this
/// process for a moment, those that were let go since included.
async fn opened(path: &Path) -> Store {
    let opening = async {
        let mut tries = tokio::time::interval(Duration::from_millis(5));
        loop {
            tries.tick().await;
            match Store::open(path).await {
                Err(StoreError::InUse { .. }) => {}
                opened => break opened.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), opening).await.unwrap()
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Compares with a committed file; writes it when UPDATE_GENERATED is set.
pub(crate) fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, text,
        "{file} is not what the program says: set UPDATE_GENERATED=1 once"
    );
}
