//! What components ask of the host in a request, call by call.
//!
//! Each call costs every request about half a microsecond, so one more has to
//! be wanted. The component's core module runs alone here: what it imports
//! takes note of the call, and answers as the canonical ABI has it.

use fanlight_tests::fixture::{Fixture, HELLO, USUAL};
use wasmparser::{Parser, Payload};
use wasmtime::{Caller, Engine, Extern, ExternType, Linker, Module, Store, Val};

/// What the host answers, as core WebAssembly sees it.
enum Answer {
    /// Nothing, or success without a payload.
    Nothing,
    /// A handle, or true.
    One,
    /// The first case of a variant, without a payload, through a pointer.
    FirstCase,
}

fn answer(name: &str) -> Answer {
    match name {
        "[static]span.start-entered" => Answer::One,
        // Of these it is GET, no path, and success.
        "[method]incoming-request.method"
        | "[method]incoming-request.path-with-query"
        | "send"
        | "measure" => Answer::FirstCase,
        "set-server-route" => Answer::Nothing,
        name if name.starts_with("[resource-drop]") => Answer::Nothing,
        name => unreachable!("say here what {name} answers"),
    }
}

/// The core module that has the component's code.
fn core_module(component: &[u8]) -> &[u8] {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::ModuleSection {
            unchecked_range, ..
        } = payload.unwrap()
        {
            return &component[unchecked_range];
        }
    }
    unreachable!("a component without a module")
}

/// The calls that a component makes from a request to its answer.
fn calls(fixture: Fixture) -> Vec<String> {
    let component = std::fs::read(fixture.path()).unwrap();
    let engine = Engine::default();
    let module = Module::new(&engine, core_module(&component)).unwrap();
    let mut linker = Linker::new(&engine);
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else {
            unreachable!("{} is no function", import.name());
        };
        let name = import.name().to_owned();
        let note =
            move |mut caller: Caller<'_, Vec<String>>, parameters: &[Val], results: &mut [Val]| {
                caller.data_mut().push(name.clone());
                match answer(&name) {
                    Answer::Nothing => {
                        results.fill(Val::I32(0));
                        return Ok(());
                    }
                    Answer::One => {
                        results.fill(Val::I32(1));
                        return Ok(());
                    }
                    Answer::FirstCase => {}
                }
                let [.., Val::I32(pointer)] = parameters else {
                    unreachable!("{name} returns nothing through memory");
                };
                let at = usize::try_from(*pointer).unwrap();
                let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                    unreachable!("no memory");
                };
                memory.write(&mut caller, at, &[0; 8])?;
                Ok(())
            };
        linker
            .func_new(import.module(), import.name(), ty, note)
            .unwrap();
    }
    let mut store = Store::new(&engine, Vec::new());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    if let Ok(start) = instance.get_typed_func::<(), ()>(&mut store, "_initialize") {
        start.call(&mut store, ()).unwrap();
    }
    let handle = "wasi:http/incoming-handler@0.2.12#handle";
    let handle = instance.get_typed_func::<(i32, i32), ()>(&mut store, handle);
    handle.unwrap().call(&mut store, (1, 1)).unwrap();
    store.into_data()
}

/// From the handler's answer to the end.
const ANSWERING: [&str; 2] = ["[resource-drop]incoming-request", "send"];

#[test]
fn a_usual_request_asks_the_host_ten_times() {
    let said = [
        "[method]incoming-request.method",
        "set-server-route",
        "[static]span.start-entered",
        "measure",
        "[static]span.start-entered",
        "[resource-drop]span",
        "measure",
        "[resource-drop]span",
    ];
    assert_eq!(calls(USUAL), [&said[..], &ANSWERING].concat());
}

#[test]
fn a_request_that_says_nothing_of_itself_asks_only_for_what_it_needs() {
    let said = [
        "[method]incoming-request.method",
        "[method]incoming-request.path-with-query",
    ];
    assert_eq!(calls(HELLO), [&said[..], &ANSWERING].concat());
}
