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
    /// The request's method, through a pointer.
    Method,
    /// A body that is here, and has no rest, through a pointer.
    WholeBody,
}

/// How a request is asked for.
#[derive(Clone, Copy)]
enum Method {
    // As the WIT has them in order.
    Get = 0,
    Post = 2,
}

fn answer(name: &str) -> Answer {
    match name {
        "[static]span.start-entered" => Answer::One,
        "[method]incoming-request.method" => Answer::Method,
        "take" => Answer::WholeBody,
        // Of these it is no path, and success.
        "[method]incoming-request.path-with-query" | "send" | "measure" => Answer::FirstCase,
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
fn calls(fixture: Fixture, method: Method) -> Vec<String> {
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
                    Answer::FirstCase | Answer::Method | Answer::WholeBody => {}
                }
                let [.., Val::I32(pointer)] = parameters else {
                    unreachable!("{name} returns nothing through memory");
                };
                let at = usize::try_from(*pointer).unwrap();
                let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                    unreachable!("no memory");
                };
                let said = match answer(&name) {
                    Answer::Method => [method as u32, 0, 0, 0, 0],
                    // Success; a list of one byte, which is the component's to
                    // free; no rest, and so no handle of it.
                    Answer::WholeBody => [0, allocated(&mut caller, 1), 1, 0, 0],
                    _ => [0; 5],
                };
                let said = said.map(u32::to_le_bytes);
                let written = match answer(&name) {
                    Answer::WholeBody => said.as_flattened(),
                    _ => &said.as_flattened()[..8],
                };
                memory.write(&mut caller, at, written)?;
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

/// So many bytes of the component's memory, by its own allocator.
fn allocated(caller: &mut Caller<'_, Vec<String>>, bytes: i32) -> u32 {
    let Some(Extern::Func(realloc)) = caller.get_export("cabi_realloc") else {
        unreachable!("a component that takes lists allocates them");
    };
    let realloc = realloc
        .typed::<(i32, i32, i32, i32), i32>(&*caller)
        .unwrap();
    let at = realloc.call(caller, (0, 0, 1, bytes)).unwrap();
    at.cast_unsigned()
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
    assert_eq!(calls(USUAL, Method::Get), [&said[..], &ANSWERING].concat());
}

#[test]
fn a_usual_request_with_a_body_asks_for_it_in_one_call_more() {
    let said = [
        "[method]incoming-request.method",
        "set-server-route",
        "[static]span.start-entered",
        "measure",
        "[static]span.start-entered",
        "take",
        "[resource-drop]span",
        "measure",
        "[resource-drop]span",
    ];
    assert_eq!(calls(USUAL, Method::Post), [&said[..], &ANSWERING].concat());
}

#[test]
fn a_request_that_says_nothing_of_itself_asks_only_for_what_it_needs() {
    let said = [
        "[method]incoming-request.method",
        "[method]incoming-request.path-with-query",
    ];
    assert_eq!(calls(HELLO, Method::Get), [&said[..], &ANSWERING].concat());
}
