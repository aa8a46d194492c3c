//! The components that tests serve, built once by cargo.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::NamedTempFile;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};

/// A component of this repository.
#[derive(Clone, Copy, Debug)]
pub struct Fixture {
    package: &'static str,
    /// The package of a component that this one is joined with: it exports what
    /// this one imports.
    plug: Option<&'static str>,
    /// What a component is made of that has no package, as WebAssembly's text.
    text: Option<&'static str>,
}

/// The demo service.
pub const DEMO: Fixture = Fixture::new("fanlight-demo");
/// The smallest service by the SDK.
pub const HELLO: Fixture = Fixture::new("example-hello");
/// Streams bodies.
pub const ECHO: Fixture = Fixture::new("example-echo");
/// Written against `wasi:http` alone.
pub const PLAIN: Fixture = Fixture::new("example-plain");
/// Does what a component should not.
pub const FAULTS: Fixture = Fixture::new("example-faults");
/// Calls other services.
pub const CALLER: Fixture = Fixture::new("example-caller");
/// Does all that the contract allows.
pub const SHOWCASE: Fixture = Fixture::new("example-showcase");
/// Speaks by the crate `tracing`, and by a library that does.
pub const TRACING: Fixture = Fixture::new("example-tracing");
/// Speaks by the API of the crate `opentelemetry`.
pub const OPENTELEMETRY: Fixture = Fixture::new("example-opentelemetry");
/// Two components joined: one asks the other for prices.
pub const COMPOSED: Fixture = Fixture::new("example-outer").with("example-inner");
/// HELLO behind a component that looks at its requests first.
pub const GUARDED: Fixture = Fixture::new("example-middleware").with("example-hello");
/// FAULTS behind the same.
pub const GUARDED_FAULTS: Fixture = Fixture::new("example-middleware").with("example-faults");
/// Speaks `wasi:otel`.
pub const WASI_OTEL: Fixture = Fixture::new("example-wasi-otel");
/// Answers what is not as it was made: its memory, tables, globals, segments.
/// Its text says which paths it knows.
pub const PRISTINE: Fixture = Fixture {
    text: Some(PRISTINE_TEXT),
    ..Fixture::new("pristine")
};

const PRISTINE_TEXT: &str = include_str!("fixture/pristine.wat");
const NAMED_TEXT: &str = include_str!("fixture/named.wat");
/// What the benchmarks serve.
pub const USUAL: Fixture = Fixture::new("bench-usual");

/// All that cargo builds.
pub const ALL: [Fixture; 14] = [
    DEMO,
    HELLO,
    ECHO,
    PLAIN,
    FAULTS,
    CALLER,
    SHOWCASE,
    TRACING,
    OPENTELEMETRY,
    COMPOSED,
    GUARDED,
    GUARDED_FAULTS,
    WASI_OTEL,
    USUAL,
];

impl Fixture {
    const fn new(package: &'static str) -> Self {
        Self {
            package,
            plug: None,
            text: None,
        }
    }

    const fn with(mut self, plug: &'static str) -> Self {
        self.plug = Some(plug);
        self
    }

    /// The component's file. The first call has cargo build them all.
    pub fn path(self) -> PathBuf {
        if let Some(text) = self.text {
            let bytes = wat::parse_str(text).expect("the text is well-formed");
            return placed(&format!("{}.wasm", self.package), &bytes);
        }
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| {
            let mut arguments = vec!["build", "--release", "--target", "wasm32-wasip2"];
            for fixture in ALL {
                arguments.extend(["-p", fixture.package]);
                arguments.extend(fixture.plug.iter().flat_map(|plug| ["-p", *plug]));
            }
            cargo(&arguments);
        });
        match self.plug {
            None => built(self.package),
            Some(plug) => joined(self.package, plug),
        }
    }
}

/// Where cargo puts the component of a package.
fn built(package: &str) -> PathBuf {
    let file = format!("{}.wasm", package.replace('-', "_"));
    target_directory().join("wasm32-wasip2/release").join(file)
}

/// Joins two components as `wac plug` does: what one imports and the other
/// exports is between them from then on.
fn joined(socket: &str, plug: &str) -> PathBuf {
    let mut graph = CompositionGraph::new();
    let [socket_id, plug_id] = [socket, plug].map(|name| {
        let package = Package::from_file(name, None, built(name), graph.types_mut());
        let package = package.expect("it is a component");
        graph.register_package(package).expect("a name of its own")
    });
    wac_graph::plug(&mut graph, vec![plug_id], socket_id).expect("they fit together");
    let bytes = graph.encode(EncodeOptions::default());
    let bytes = bytes.expect("it can be encoded");
    placed(&format!("{socket}-with-{plug}.wasm"), &bytes)
}

/// A component whose module has these fields as well, and that answers nothing.
pub fn bare(fields: &str) -> Vec<u8> {
    let text = include_str!("fixture/bare.wat").replace("(; module ;)", fields);
    wat::parse_str(text).expect("the text is well-formed")
}

/// Puts a component that a test has made where cargo puts the others.
fn placed(name: &str, bytes: &[u8]) -> PathBuf {
    let directory = target_directory().join("wasm32-wasip2/release");
    std::fs::create_dir_all(&directory).expect("a folder");
    // Other tests may do the same: whoever is last puts the same file there.
    let file = NamedTempFile::new_in(&directory).expect("a temporary file");
    std::fs::write(&file, bytes).expect("it is written");
    let path = directory.join(name);
    file.persist(&path).expect("it is put in its place");
    path
}

/// PRISTINE with another word of eight letters in its memory: another component
/// of the same shape.
pub fn pristine_with(word: [u8; 8]) -> Vec<u8> {
    const BUILT: &[u8; 8] = b"began so";
    let text = PRISTINE_TEXT
        .replace(
            std::str::from_utf8(BUILT).expect("it is text"),
            std::str::from_utf8(&word).expect("it is text"),
        )
        .replace(
            &format!("{:#x}", u64::from_le_bytes(*BUILT)),
            &format!("{:#x}", u64::from_le_bytes(word)),
        );
    wat::parse_str(text).expect("the text is well-formed")
}

/// A component that traps, thirty calls deep, in a function of the core module `module`
/// that is called `function`.
pub fn named(module: &str, function: &str) -> Vec<u8> {
    let quoted = |name: &str| -> String {
        let bytes = name.bytes();
        bytes.map(|byte| format!("\\{byte:02x}")).collect()
    };
    let text = NAMED_TEXT
        .replace("\"MODULE\"", &format!("\"{}\"", quoted(module)))
        .replace("\"FUNCTION\"", &format!("\"{}\"", quoted(function)));
    wat::parse_str(text).expect("the text is well-formed")
}

/// FAULTS in the version `number`, which its `/version` says: another component
/// for the host, of the same size.
///
/// # Panics
/// When the built component does not hold its version once.
pub fn version(number: u16) -> Vec<u8> {
    const BUILT: &[u8] = b"version-of-faults-0000";
    let mut bytes = std::fs::read(FAULTS.path()).expect("it is built");
    let found: Vec<_> = bytes
        .windows(BUILT.len())
        .enumerate()
        .filter_map(|(at, window)| (window == BUILT).then_some(at))
        .collect();
    assert_eq!(found.len(), 1, "the version is in one place");
    let digits = found[0] + BUILT.len() - 4;
    bytes[digits..digits + 4].copy_from_slice(format!("{number:04}").as_bytes());
    bytes
}

/// FAULTS in the version `number` with so much more code in it that compiling
/// takes a second or more. `salt` keeps the compile cache from knowing it.
pub fn large_version(number: u16, functions: u32, salt: &str) -> Vec<u8> {
    let mut text = format!("(module (@custom \"salt\" \"{salt}\")");
    for n in 0..functions {
        text.push_str(&format!(
            "(func (param i64) (result i64) local.get 0 i64.const {n} i64.mul local.get 0 \
             i64.xor i64.popcnt local.get 0 i64.rotl local.get 0 i64.const 7 i64.shr_u i64.add)"
        ));
    }
    text.push(')');
    let module = wat::parse_str(text).expect("the module is well-formed");
    let mut bytes = version(number);
    // One more section at the end: a core module that nobody instantiates.
    bytes.push(1);
    let mut length = module.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f | 0x80).expect("seven bits and a flag"));
        length >>= 7;
    }
    bytes.push(u8::try_from(length).expect("seven bits"));
    bytes.extend(module);
    bytes
}

/// The workspace that the test is run from. The one that this was compiled in may
/// be another checkout, with the same target directory.
pub fn workspace() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("..")
}

/// Runs cargo in the workspace, with the same target directory as this test.
pub(crate) fn cargo(arguments: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo told this test about its package, ring's build script would
    // take for a change, and half of the tree would be built again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let output = command
        .args(arguments)
        .args(["--quiet", "--target-dir"])
        .arg(target_directory())
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo {} failed:\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Where cargo put this test: `<target>/<profile>/deps/<test>`.
pub fn target_directory() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    test.ancestors()
        .nth(3)
        .expect("a test lies in target/<profile>/deps")
        .to_owned()
}
