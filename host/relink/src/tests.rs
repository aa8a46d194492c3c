use wasmparser::{Instance, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::Component;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{MAX_DEPTH, Unsupported, link_directly};
use crate::fuzzing::{outcome, relinked};

const COMPONENT: &str = include_str!("greeter.wat");

fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The component, with something of its text replaced.
fn component_with(old: &str, new: &str) -> Vec<u8> {
    assert_eq!(COMPONENT.matches(old).count(), 1, "{old}");
    binary(&COMPONENT.replace(old, new))
}

/// What a component says when it greets.
fn said_by(component: &[u8]) -> Vec<String> {
    let (said, ended) = outcome(component).expect("it is a component");
    assert_eq!(ended, Ok(()));
    said
}

/// How many functions the core modules of a component import.
fn functions_imported(component: &[u8]) -> usize {
    let payloads = Parser::new(0).parse_all(component).map(Result::unwrap);
    let imports = payloads.filter_map(|it| match it {
        Payload::ImportSection(imports) => Some(imports.into_imports()),
        _ => None,
    });
    let functions = imports
        .flatten()
        .filter(|it| matches!(it.as_ref().unwrap().ty, wasmparser::TypeRef::Func(_)));
    functions.count()
}

/// How many core modules are instantiated for an instance of a component.
fn instantiated(component: &[u8]) -> usize {
    let payloads = Parser::new(0).parse_all(component).map(Result::unwrap);
    let instances = payloads.filter_map(|it| match it {
        Payload::InstanceSection(instances) => Some(instances),
        _ => None,
    });
    let modules = instances
        .flatten()
        .filter(|it| matches!(it, Ok(Instance::Instantiate { .. })));
    modules.count()
}

#[test]
fn a_component_does_the_same_when_its_imports_are_linked_directly() {
    let component = binary(COMPONENT);
    let linked = link_directly(&component).unwrap();
    assert_eq!(said_by(&component), ["hello", "Ada", "goodbye"]);
    assert_eq!(said_by(&linked), said_by(&component));
    // Two by the main module and two by the fixup; then two, and the allocator.
    assert_eq!(functions_imported(&component), 4);
    assert_eq!(functions_imported(&linked), 3);
    assert_eq!(
        link_directly(&linked),
        Err(Unsupported("it has no shims, or no fixup"))
    );
}

/// The interface of the component in `greeter.wat`.
const WIT: &str = "
    package test:host;
    interface host {
        name: func() -> string;
        say: func(text: string);
    }
    world greeter {
        import host;
        export greet: func(ending: string);
    }
";

/// Its main module, put together by the newest `wit-component`.
fn encoded() -> Vec<u8> {
    let begin = COMPONENT.find("(core module $main").unwrap();
    let end = COMPONENT.find("(core module $shim").unwrap();
    let mut module = binary(&COMPONENT[begin..end].replace("(core module", "(module"));
    let mut resolve = Resolve::default();
    let package = resolve.push_str("host.wit", WIT).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).unwrap();
    encoder.encode().unwrap()
}

#[test]
fn what_the_newest_wit_component_puts_together_is_linked_directly_as_well() {
    let component = encoded();
    let linked = link_directly(&component).unwrap();
    assert_eq!(said_by(&component), ["hello", "Ada", "goodbye"]);
    assert_eq!(said_by(&linked), said_by(&component));
    assert_eq!(functions_imported(&component), 4);
    assert_eq!(functions_imported(&linked), 3);
}

/// Where the code begins that is longest: the main module's.
fn code_offset(component: &[u8]) -> usize {
    let payloads = Parser::new(0).parse_all(component).map(Result::unwrap);
    let codes = payloads.filter_map(|it| match it {
        Payload::CodeSectionStart { range, .. } => Some(range),
        _ => None,
    });
    let longest = codes.max_by_key(|range| range.len());
    longest.unwrap().start
}

#[test]
fn the_main_modules_code_stays_where_it_is() {
    // So much data that the module's size takes a byte less without it.
    let data = "x".repeat(20_000);
    let large = COMPONENT.replace("\"hello\"", &format!("\"hello{data}\""));
    for component in [binary(COMPONENT), binary(&large), encoded()] {
        let linked = link_directly(&component).unwrap();
        assert_eq!(code_offset(&linked), code_offset(&component));
        assert_eq!(said_by(&linked), ["hello", "Ada", "goodbye"]);
    }
}

#[test]
fn imports_that_need_no_allocator_get_none() {
    let text = COMPONENT
        .replace("(func (result string))", "(func)")
        .replace("(func $name (param i32))", "(func $name)")
        .replace("(call $name (i32.const 64))", "(call $name)")
        .replace(
            "(func (export \"0\") (param i32)\n      (call_indirect (param i32) (local.get 0)",
            "(func (export \"0\")\n      (call_indirect",
        )
        .replace(
            "(import \"\" \"0\" (func (param i32)))",
            "(import \"\" \"0\" (func))",
        )
        .replace(
            "(func $name) (memory $memory) (realloc $realloc)",
            "(func $name)",
        );
    let linked = link_directly(&binary(&text)).unwrap();
    assert_eq!(said_by(&linked), ["hello", "", "goodbye"]);
    // The memory and the main module; and what tells the one the other's allocator.
    assert_eq!(instantiated(&linked), 2);
    assert_eq!(instantiated(&link_directly(&binary(COMPONENT)).unwrap()), 3);
}

#[test]
fn components_in_a_component_are_linked_directly_as_well() {
    let mut nested = COMPONENT.to_owned();
    for depth in 0..=MAX_DEPTH {
        nested = format!("(component {nested})");
        let linked = link_directly(&binary(&nested));
        match depth < MAX_DEPTH {
            true => {
                let linked = linked.unwrap();
                assert_eq!(functions_imported(&linked), 3);
                Component::from_binary(&Engine::default(), &linked).unwrap();
            }
            // Deeper nesting serves only to have a component read again and again.
            false => assert_eq!(linked, Err(Unsupported("it has no shims, or no fixup"))),
        }
    }
}

#[test]
fn a_component_that_is_put_together_otherwise_stays_as_it_is() {
    for (old, new, why) in [
        (
            "(call_indirect (param i32) (local.get 0) (i32.const 0))",
            "(call_indirect (param i32) (i32.const 7) (i32.const 0))",
            "it has no shims, or no fixup",
        ),
        (
            "(elem (i32.const 0) func 0 1))\n\n  (core instance $shims",
            "(elem (i32.const 0) func 0 1) (func $f) (start $f))\n\n  (core instance $shims",
            "it has no shims, or no fixup",
        ),
        (
            "(elem (i32.const 0) func 0 1))\n\n  (core instance $shims",
            "(elem (i32.const 0) func 0))\n\n  (core instance $shims",
            "a shim calls nothing",
        ),
        (
            "(data (i32.const 16) \"hello\")",
            "(data \"hello\")",
            "it has data for later",
        ),
        (
            "(data (i32.const 16) \"hello\")",
            "(data $d \"hello\") (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0)))",
            "its code names its data",
        ),
        (
            "(data (i32.const 16) \"hello\")",
            "(data (i32.const 16) \"hello\") (memory 1)",
            "its main module has not just one memory",
        ),
        (
            "(core instance $shims (instantiate $shim))",
            "(core instance $shims (instantiate $shim)) (core instance (instantiate $shim))",
            "one of its modules has not just one instance",
        ),
        (
            "(core instance $arguments",
            "(alias core export $mains \"greet\" (core func $early))
             (func (param \"ending\" string)
                (canon lift (core func $early) (memory $memory) (realloc $realloc)))
             (core instance $arguments",
            "it needs the main module before its imports",
        ),
        (
            "(global $free",
            "(func $start) (start $start) (global $free",
            "its main module starts by itself",
        ),
        (
            "(core instance $arguments",
            "(core module $other) (core instance (instantiate $other))
             (core instance $arguments",
            "it would run before the main module",
        ),
        (
            "(core instance $arguments",
            "(component $other) (instance (instantiate $other))
             (core instance $arguments",
            "it would run before the main module",
        ),
        (
            "(export \"0\" (func $lowered-name))",
            "(export \"0\" (func $shim-name))",
            "a shim calls another one",
        ),
        (
            "(core instance $shims (instantiate $shim))",
            "(export \"main\" (core module $main))
             (core instance $shims (instantiate $shim))",
            "it shares its modules",
        ),
        (
            "(core instance $shims (instantiate $shim))",
            "(component $other (alias outer 1 $main (core module)))
             (core instance $shims (instantiate $shim))",
            "it shares its modules",
        ),
        (
            "(core instance $shims (instantiate $shim))",
            "(core instance $shims (instantiate $shim))
             (alias core export $shims \"0\" (core func $destroy))
             (type (resource (rep i32) (dtor (core func $destroy))))",
            "it has a resource with a destructor",
        ),
    ] {
        let component = component_with(old, new);
        assert_eq!(link_directly(&component), Err(Unsupported(why)), "{new}");
        // It is as good a component as any.
        Component::from_binary(&Engine::default(), &component).unwrap();
    }
}

#[test]
fn what_is_far_larger_than_any_that_is_built_is_not_looked_at() {
    // A byte for each: what it is made into here would be a hundred times as large.
    let many = "(core func (canon backpressure.inc))".repeat(30_000);
    let component = binary(&format!("(component {many})"));
    assert_eq!(
        link_directly(&component),
        Err(Unsupported("it has more parts than are looked at"))
    );
    // Nor is a fixup that puts a long name into many slots.
    let name = "n".repeat(1_000);
    let slots = "0 ".repeat(20_000);
    let fixup = format!(
        "(core module (import \"\" \"{name}\" (func)) (import \"\" \"$imports\" (table 1 funcref))
            (elem (i32.const 0) func {slots}))"
    );
    let component = binary(&COMPONENT.replacen(
        "(core module $fixup",
        &format!("{fixup} (core module $fixup"),
        1,
    ));
    assert!(link_directly(&component).is_ok());
}

#[test]
fn no_damage_to_a_component_makes_linking_panic() {
    let component = binary(COMPONENT);
    for length in 0..component.len() {
        // One that lacks its last sections alone is a component.
        let _ = link_directly(&component[..length]);
    }
    let mut changed = 0;
    for at in 8..component.len() {
        for bits in [0x01, 0x40, 0x80, 0xff] {
            let mut damaged = component.clone();
            damaged[at] ^= bits;
            // What comes of it is for the engine to judge.
            changed += usize::from(link_directly(&damaged).is_ok());
        }
    }
    assert!(changed > 0);
}

#[test]
fn a_damaged_component_does_the_same_when_it_is_relinked() {
    let component = binary(COMPONENT);
    for at in (8..component.len()).step_by(3) {
        let mut damaged = component.clone();
        damaged[at] ^= 0x01;
        relinked(&damaged);
    }
}
