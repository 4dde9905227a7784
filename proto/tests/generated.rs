//! The committed gRPC code is what the .proto file generates. `UPDATE_GENERATED=1 cargo test -p proto --test generated`
//! writes it anew. protox stands in for protoc, so that no machine needs one.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{env, fs, path::Path};

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile([root.join("attest/v1/attest.proto")], [root]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(folder.path())
        .bytes(".")
        .compile_fds(descriptors)
        .unwrap();
    let fresh = fs::read_to_string(folder.path().join("attest.v1.rs")).unwrap();
    let committed = root.join("src/gen/attest.v1.rs");
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&committed, &fresh).unwrap();
    }
    assert!(
        fs::read_to_string(&committed).unwrap_or_default() == fresh,
        "src/gen/attest.v1.rs differs from attest.proto: run UPDATE_GENERATED=1 cargo test -p proto --test generated"
    );
}
