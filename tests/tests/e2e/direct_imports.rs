//! How a component's imports are linked: nobody sees it but in the log, and in
//! what a request costs.

use fanlight_tests::eventually;
use fanlight_tests::fixture::{ALL, FAULTS, Fixture, HELLO, PRISTINE};
use fanlight_tests::program::Program;

/// What the server says of a component, and of one that stays as it is.
const DIRECT: &str = "imports are linked directly";
const STAYS: &str = "imports are linked as the component has them";

/// What it says of one when it starts with it.
async fn said_of(component: Fixture, vars: &[(&str, &str)]) -> String {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", component.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("FANLIGHT_LOG", "debug");
    for (name, value) in vars {
        program = program.env(name, value);
    }
    let program = program.serve().await;
    program.said()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rust_builds_has_its_imports_linked_directly_and_joined_components_as_well() {
    for component in ALL {
        let said = said_of(component, &[]).await;
        assert!(said.contains(DIRECT), "{component:?}: {said}");
        assert!(!said.contains("cannot be linked"), "{component:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_was_put_together_by_hand_is_served_as_it_is() {
    let said = said_of(PRISTINE, &[]).await;
    assert!(said.contains(STAYS), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_linked_directly_where_that_is_turned_off() {
    let said = said_of(HELLO, &[("FANLIGHT_NO_DIRECT_IMPORTS", "true")]).await;
    assert!(!said.contains(DIRECT), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtrace_is_the_same_however_imports_are_linked() {
    let mut told = Vec::new();
    for off in ["", "true"] {
        let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "16")
            .env("FANLIGHT_NO_DIRECT_IMPORTS", off);
        let program = program.serve().await;
        assert_eq!(program.get("/panic").send().await.status, 500);
        let frames = eventually("the backtrace", || {
            let said = program.said();
            let frames = said
                .lines()
                .filter(|line| line.contains(" - example_faults"));
            let frames: Vec<_> = frames.map(str::to_owned).collect();
            (frames.last()?.contains("handle")).then_some(frames)
        });
        told.push(frames.await);
    }
    // Where in the module each of them is, as well.
    assert_eq!(told[0], told[1]);
}
