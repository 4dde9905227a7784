//! The C interface, called from C: programs built with all warnings as errors, run as they are, with the sanitizers and in valgrind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

/// An agent that nobody answers needs a root key all the same.
const ROOT: &str = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa";

#[test]
fn every_function_every_null_and_every_wrong_order() {
    api(&Build::PLAIN, &[]);
}

#[test]
fn a_thousand_agents_leave_nothing_behind() {
    cycles(&Build::PLAIN, &[], 1000);
}

#[test]
fn sixty_four_threads_and_a_stop() {
    threads(&Build::PLAIN, &[], 2000);
}

#[test]
fn whoever_hangs_up_on_the_agent_does_not_end_its_host() {
    signals(&Build::PLAIN, &[], 60);
}

#[test]
fn a_host_that_gets_no_thread_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let program = Build::PLAIN.program("no_threads", folder.path());
    said(&run(&[], &program, &[text(folder.path()), ROOT]), "told as it is");
}

#[test]
#[ignore = "needs a C compiler with AddressSanitizer"]
fn the_sanitizers_find_nothing() {
    api(&Build::SANITIZED, &[]);
    cycles(&Build::SANITIZED, &[], 1000);
    threads(&Build::SANITIZED, &[], 500);
    signals(&Build::SANITIZED, &[], 60);
}

/// The header is one for C++ as well.
#[test]
#[ignore = "needs a C++ compiler"]
fn the_header_is_one_for_cplusplus() {
    let folder = tempfile::tempdir().unwrap();
    let (source, root) = (folder.path().join("host.cc"), Path::new(env!("CARGO_MANIFEST_DIR")));
    fs::write(&source, "#include \"peer_agent.h\"\nint main() { return peer_agent_abi_version() == PEER_AGENT_ABI_VERSION ? 0 : 1; }\n").unwrap();
    let program = folder.path().join("host");
    let mut compiler = Command::new(env::var("CXX").unwrap_or_else(|_| "c++".to_owned()));
    compiler
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(root.join("include"))
        .arg(&source);
    let output = compiler
        .arg(library())
        .args(["-pthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", words(&output));
    assert!(run(&[], &program, &[]).status.success());
}

#[test]
#[ignore = "needs valgrind"]
fn valgrind_finds_nothing() {
    // What is only possibly lost are tables that a program keeps to its end, of which there is a pointer into the middle.
    let valgrind = [
        "valgrind",
        "--quiet",
        "--error-exitcode=9",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
    ];
    api(&Build::PLAIN, &valgrind);
    cycles(&Build::PLAIN, &valgrind, 1000);
    threads(&Build::PLAIN, &valgrind, 20);
}

fn api(build: &Build, under: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("crt.pem");
    fs::write(&certificate, include_str!("c/crt.pem")).unwrap();
    let program = build.program("api", folder.path());
    let arguments = [text(folder.path()), ROOT, text(&certificate)];
    said(&run(under, &program, &arguments), "all as it should be");
}

fn cycles(build: &Build, under: &[&str], count: u32) {
    let folder = tempfile::tempdir().unwrap();
    let program = build.program("cycles", folder.path());
    let arguments = [text(folder.path()), ROOT, &count.to_string()];
    said(&run(under, &program, &arguments), &format!("cycles: {count};"));
}

fn threads(build: &Build, under: &[&str], rounds: u32) {
    let folder = tempfile::tempdir().unwrap();
    let program = build.program("threads", folder.path());
    let arguments = [text(folder.path()), ROOT, &rounds.to_string()];
    said(&run(under, &program, &arguments), "threads: 64");
}

/// With somebody at the attester's address who finishes the handshake and hangs up: what the agent says next has nobody to go to.
fn signals(build: &Build, under: &[&str], count: u32) {
    let folder = tempfile::tempdir().unwrap();
    let program = build.program("signals", folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let made = rcgen::generate_simple_self_signed(["attester.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let mut config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut secured = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            while secured.is_handshaking() && secured.complete_io(&mut stream).is_ok() {}
        }
    });
    let arguments = [text(folder.path()), ROOT, &endpoint, &count.to_string()];
    said(&run(under, &program, &arguments), "were hung up on");
}

/// How a program is built.
struct Build {
    flags: &'static [&'static str],
}

impl Build {
    const PLAIN: Self = Self { flags: &[] };
    const SANITIZED: Self = Self {
        flags: &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    };

    /// Builds `tests/c/NAME.c` with the static library into `folder`.
    fn program(&self, name: &str, folder: &Path) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = folder.join(name);
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let output = Command::new(&compiler)
            .args([
                "-std=c99",
                "-Wpedantic",
                "-D_POSIX_C_SOURCE=200809L",
                "-g",
                "-Wall",
                "-Wextra",
                "-Werror",
            ])
            .args(self.flags)
            .arg("-I")
            .arg(root.join("include"))
            .arg(root.join("tests/c").join(name).with_extension("c"))
            .arg(library())
            .args(["-pthread", "-ldl", "-lm", "-o"])
            .arg(&program)
            .output()
            .unwrap_or_else(|error| panic!("{compiler} (the C compiler, or what CC names): {error}"));
        assert!(output.status.success(), "{}", words(&output));
        program
    }
}

/// The static library, which Cargo built for this test beside it.
fn library() -> PathBuf {
    let library = env::current_exe().unwrap().with_file_name("libpeer_agent_c.a");
    assert!(library.is_file(), "{} is missing", library.display());
    library
}

fn run(under: &[&str], program: &Path, arguments: &[&str]) -> Output {
    let mut words: Vec<&str> = under.to_vec();
    words.push(text(program));
    let output = Command::new(words[0]).args(&words[1..]).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", words[0]))
}

fn said(output: &Output, expected: &str) {
    let all = words(output);
    assert!(
        output.status.success() && all.contains(expected),
        "{}: {all}",
        output.status
    );
}

fn words(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
