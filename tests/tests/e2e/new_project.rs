//! `fanlight new` and `fanlight dev` with a project in Rust; `cargo xtask templates` tries
//! the other languages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fanlight_tests::client::Ask;
use fanlight_tests::fixture::{target_directory, workspace};
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::{eventually, eventually_async};

/// Where projects are built: what they depend on is built once.
fn built_in() -> PathBuf {
    target_directory().join("new-projects")
}

/// A project outside of this repository.
struct Project {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Project {
    /// Has the program make one. It gets the versions of dependencies that this repository
    /// has: they are there without a network.
    async fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Program::new(["new", name]).folder(folder.path());
        let (code, said) = made.output().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("fanlight dev"), "{said}");
        let project = Self { folder, name };
        let lock = workspace().join("Cargo.lock");
        fs::copy(lock, project.path("Cargo.lock")).unwrap();
        project
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(self.name).join(file)
    }

    fn component(&self) -> PathBuf {
        let file = format!("{}.wasm", self.name.replace('-', "_"));
        built_in().join("wasm32-wasip2/release").join(file)
    }

    /// Runs cargo in it, as its author does; gives what cargo writes.
    fn cargo(&self, arguments: &[&str]) -> String {
        let mut cargo = Command::new("cargo");
        // What cargo told this test about its own package is not about the project.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&name);
            }
        }
        let output = cargo
            .args(arguments)
            .current_dir(self.path(""))
            .env("CARGO_TARGET_DIR", built_in())
            .env("CARGO_NET_OFFLINE", "true")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "cargo {arguments:?}: {said}{errors}"
        );
        said + &errors
    }

    fn build(&self) {
        self.cargo(&["build", "--release", "--target", "wasm32-wasip2"]);
    }

    /// Replaces text in a source.
    fn edit(&self, from: &str, to: &str) {
        let source = self.path("src/lib.rs");
        let text = fs::read_to_string(&source).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(source, text.replace(from, to)).unwrap();
    }

    async fn dev(&self) -> ServingProgram {
        // A first build may take longer than the program is waited for.
        self.build();
        self.dev_program().serve().await
    }

    fn dev_program(&self) -> Program {
        Program::new(["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .folder(&self.path(""))
            .env("CARGO_TARGET_DIR", &built_in().to_string_lossy())
            .env("CARGO_NET_OFFLINE", "true")
    }
}

/// Demands that each memory is smaller than one with Rust's own stack, which lies in it.
fn demand_small_stack(component: &Path) {
    let component = fs::read(component).unwrap();
    let memories = wasmparser::Parser::new(0)
        .parse_all(&component)
        .filter_map(|payload| match payload.unwrap() {
            wasmparser::Payload::MemorySection(section) => Some(section),
            _ => None,
        })
        .flat_map(|section| section.into_iter().map(|memory| memory.unwrap().initial));
    let pages: Vec<_> = memories.collect();
    // Of 64 KiB; 1 MiB of stack and any data take 17.
    assert!(
        !pages.is_empty() && pages.iter().all(|it| *it < 17),
        "{pages:?}"
    );
}

async fn greets(program: &ServingProgram, greeting: &str) {
    eventually_async(greeting, async || {
        let answer = program.get("/?name=Ada").send().await;
        assert_eq!(answer.status, 200);
        (answer.body == greeting).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_passes_its_test_has_a_small_stack_and_is_served() {
    let project = Project::new("my-service").await;
    let said = project.cargo(&["test"]);
    assert!(said.contains("1 passed"), "{said}");
    project.build();
    let component = project.component();
    demand_small_stack(&component);
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "off"].map(Path::new);
    let program = Program::new(arguments.into_iter().chain([&*component]));
    let program = program.serve().await;
    greets(&program, "hello, Ada\n").await;
    assert_eq!(program.get("/other").send().await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_and_what_is_no_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("taken")).unwrap();
    for (name, message) in [
        ("taken", "taken exists already"),
        ("My Service", "lower-case letters, digits and hyphens"),
        ("../outside", "lower-case letters, digits and hyphens"),
    ] {
        let program = Program::new(["new", name]).folder(folder.path());
        let (code, said) = program.output().await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(message), "{said}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_is_built_and_swapped_in_and_a_broken_one_leaves_the_old_component() {
    let project = Project::new("dev-service").await;
    let program = project.dev().await;
    greets(&program, "hello, Ada\n").await;

    project.edit("\"hello, {name}\"", "\"good day, {name}\"");
    greets(&program, "good day, Ada\n").await;

    project.edit("\"good day, {name}\"", "\"good day, {nobody}\"");
    let admin = program.admin.unwrap();
    eventually_async("the error in the viewer", async || {
        let page = Ask::get(admin, "/ui/component").send().await.body;
        let page = String::from_utf8_lossy(&page);
        page.contains("cannot find value `nobody`").then_some(())
    })
    .await;
    eventually("the error in the terminal", || {
        let said = program.said();
        let has = |text: &str| said.contains(text);
        (has("cannot find value `nobody`") && has("not swapped: `cargo build")).then_some(())
    })
    .await;
    greets(&program, "good day, Ada\n").await;

    project.edit("\"good day, {nobody}\"", "\"welcome, {name}\"");
    greets(&program, "welcome, Ada\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_server_and_a_build_under_way() {
    let project = Project::new("ended-service").await;
    let mut program = project.dev().await;
    // A build that does not end by itself.
    let script = "fn main() { loop { std::thread::sleep(std::time::Duration::MAX); } }\n";
    fs::write(project.path("build.rs"), script).unwrap();
    let building = || {
        let processes = fs::read_dir("/proc").unwrap();
        let programs = processes.filter_map(|it| fs::read_link(it.ok()?.path().join("exe")).ok());
        let is_script =
            |it: &PathBuf| it.starts_with(built_in()) && it.ends_with("build-script-build");
        programs
            .filter(is_script)
            .filter(|it| it.to_string_lossy().contains("ended-service"))
            .count()
    };
    eventually_async("the build", async || (building() > 0).then_some(())).await;
    program.signal("INT").await;
    assert_eq!(program.exit_code().await, Some(0));
    eventually_async("its end", async || (building() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_build_that_fails_is_tried_again_at_the_next_save() {
    let project = Project::new("late-service").await;
    project.build();
    project.edit("\"hello, {name}\"", "\"hello, {nobody}\"");
    let program = project.dev_program().start();
    eventually("the failure", || {
        let said = program.said();
        said.contains("building again at the next save")
            .then_some(())
    })
    .await;
    project.edit("\"hello, {nobody}\"", "\"hello again, {name}\"");
    let program = program.served().await;
    greets(&program, "hello again, Ada\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_a_project_is_refused_with_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = Program::new(["dev"]).folder(folder.path()).output().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("[dev]") && said.contains("fanlight new"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_not_what_its_world_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.wasm");
    fs::write(&module, wat::parse_str("(module)").unwrap()).unwrap();
    let wit = workspace().join("wit");
    let arguments = [
        "componentize",
        "module.wasm",
        "--output",
        "made.wasm",
        "--wit",
    ];
    let arguments = arguments.map(Path::new).into_iter().chain([&*wit]);
    let program = Program::new(arguments).folder(folder.path());
    let (code, said) = program.output().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("cannot become a component of the world service"),
        "{said}"
    );
    assert!(!folder.path().join("made.wasm").exists());
}
