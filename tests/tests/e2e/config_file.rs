//! The configuration file of `fanlight serve`: what is in it counts below flags and
//! variables, and what is wrong with it is refused before anything starts.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use fanlight_tests::fixture::HELLO;
use fanlight_tests::program::Program;

/// Writes a configuration file that has the server of these tests, and more lines.
fn write(path: &Path, lines: &str) {
    let hello = HELLO.path();
    let text = format!(
        "component = {hello:?}\nlisten = '127.0.0.1:0'\nadmin = 'off'\nmax-instances = 16\n{lines}\n"
    );
    std::fs::write(path, text).unwrap();
}

/// An address that is in use while the listener lives.
fn taken() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_in_the_working_directory_is_read_and_its_dev_table_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder.path().join("fanlight.toml"),
        "capture-request-header = ['x-one', 'x-two']\n[dev]\nbuild = 'make'",
    );
    let program = Program::new(["serve"]).folder(folder.path());
    let program = program.serve().await;
    assert_eq!(program.get("/hello").send().await.status, 200);
    let said = program.said();
    assert!(said.contains("configuration: fanlight.toml"), "{said}");
    // Without the file there is nothing to serve.
    let empty = tempfile::tempdir().unwrap();
    let (code, said) = Program::new(["serve"]).folder(empty.path()).output().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("<COMPONENT>"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_overrides_a_variable_which_overrides_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.toml");
    let (_file, in_file) = taken();
    let (_variable, in_variable) = taken();
    let (_flag, in_flag) = taken();
    write(&path, "");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("127.0.0.1:0", &in_file.to_string())).unwrap();
    // Each address is in use, so the error names the one that counts.
    let serve = |flags: &[&str]| {
        let named = ["serve", "--config", path.to_str().unwrap()];
        Program::new(named.iter().chain(flags))
    };
    let flag = in_flag.to_string();
    for (program, address) in [
        (serve(&[]), in_file),
        (
            serve(&[]).env("FANLIGHT_LISTEN", &in_variable.to_string()),
            in_variable,
        ),
        (
            serve(&["--listen", &flag]).env("FANLIGHT_LISTEN", &in_variable.to_string()),
            in_flag,
        ),
    ] {
        let (code, said) = program.output().await;
        let message = format!("cannot listen on {address} (choose another address by --listen)");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&message), "{message} is not in {said}");
    }
    // An empty variable is unset, and one may name the file.
    let (_, said) = Program::new(["serve"])
        .env("FANLIGHT_CONFIG", path.to_str().unwrap())
        .output()
        .await;
    assert!(said.contains(&in_file.to_string()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_is_refused_with_its_name_the_line_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    for (lines, messages) in [
        (
            "listn = '127.0.0.1:1'",
            ["line 5", "`listen` is the nearest"],
        ),
        (
            "request-timeout = 'soon'",
            ["line 5", "such as 30s, 500ms or 5m"],
        ),
        ("request-timeout = ", ["line 5", "TOML parse error"]),
        ("tls-cert = 'tls.crt'", ["--tls-cert needs --tls-key", ""]),
    ] {
        write(&folder.path().join("fanlight.toml"), lines);
        let program = Program::new(["serve"]).folder(folder.path());
        let (code, said) = program.output().await;
        assert_eq!(code, Some(2), "{lines}: {said}");
        assert!(said.starts_with("error: "), "{said}");
        for message in messages {
            assert!(said.contains(message), "{message:?} is not in {said:?}");
        }
        let is_of_file = said.contains("fanlight.toml") || said.contains("--tls-cert");
        assert!(is_of_file, "{said}");
    }
    let program = Program::new(["serve", "--config", "absent.toml"]).folder(folder.path());
    let (code, said) = program.output().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot read absent.toml"), "{said}");
}
