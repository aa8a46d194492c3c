//! The proposals of WebAssembly that the engine takes, and those that a component
//! needs beside them.
//!
//! The parser knows more of WebAssembly than the engine does. So the host can say
//! that a component needs a proposal, instead of that the file is no component.

use wasmparser::{Validator, WasmFeatures};
use wasmtime::Config;

/// What is offered: WebAssembly 3.0 and the component model of WASI 0.2.
///
/// What a collector of garbage keeps is not bounded by `--max-memory`, and
/// exceptions need one in this engine; a memory that threads share outlives its
/// instance.
const OFFERED: WasmFeatures = WasmFeatures::WASM3
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::GC_TYPES)
    .difference(WasmFeatures::THREADS)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Has the engine take what is offered and nothing else.
pub(crate) fn configure(engine: &mut Config) {
    let others = WasmFeatures::all().difference(OFFERED);
    engine
        .wasm_features(OFFERED, true)
        .wasm_features(others, false);
}

/// What a file is that the engine refuses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// No component by any proposal; what is wrong with it.
    Invalid(String),
    /// A component by what is offered: the engine refuses it for another reason.
    Valid,
    /// A component by these proposals, which are not offered.
    Needs(Vec<String>),
}

/// Tells what a file is that the engine refuses.
pub(crate) fn validity(bytes: &[u8]) -> Validity {
    if is_valid(bytes, OFFERED) {
        return Validity::Valid;
    }
    if let Err(error) = validate(bytes, WasmFeatures::all()) {
        return Validity::Invalid(error.to_string());
    }
    let others: Vec<_> = WasmFeatures::all().difference(OFFERED).iter().collect();
    let needed = without_unneeded(bytes, union(&others), &others);
    Validity::Needs(needed.iter().map(name).collect())
}

/// What is left of `needed` without those of `candidates` that the component is
/// valid without. Most are, so whole groups are tried first.
fn without_unneeded(
    bytes: &[u8],
    needed: WasmFeatures,
    candidates: &[WasmFeatures],
) -> WasmFeatures {
    let without = needed.difference(union(candidates));
    if is_valid(bytes, OFFERED.union(without)) {
        return without;
    }
    if candidates.len() <= 1 {
        return needed;
    }
    let (first, second) = candidates.split_at(candidates.len() / 2);
    let needed = without_unneeded(bytes, needed, first);
    without_unneeded(bytes, needed, second)
}

fn union(features: &[WasmFeatures]) -> WasmFeatures {
    let features = features.iter().copied();
    features.fold(WasmFeatures::empty(), WasmFeatures::union)
}

fn is_valid(bytes: &[u8], features: WasmFeatures) -> bool {
    validate(bytes, features).is_ok()
}

fn validate(bytes: &[u8], features: WasmFeatures) -> Result<(), wasmparser::Error> {
    let mut validator = Validator::new_with_features(features);
    validator.validate_all(bytes).map(|_| ())
}

/// A proposal as people call it.
fn name(feature: WasmFeatures) -> String {
    match feature {
        WasmFeatures::EXCEPTIONS => "exceptions (GC)".to_owned(),
        WasmFeatures::GC_TYPES => "garbage collection (GC)".to_owned(),
        WasmFeatures::CM64 => "component model 64-bit".to_owned(),
        _ => {
            // Each flag has the one name that the parser gives it.
            let names = feature.iter_names().map(|(name, _)| name);
            let name = names.collect::<Vec<_>>().join(" ").to_lowercase();
            let name = match name.strip_prefix("cm_") {
                Some(rest) => format!("component model {rest}"),
                None => name,
            };
            name.replace('_', " ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_module(text: &str) -> Validity {
        validity(&wat::parse_str(format!("(component (core module {text}))")).unwrap())
    }

    fn needs(names: &[&str]) -> Validity {
        Validity::Needs(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn a_component_needs_the_proposals_that_it_is_not_valid_without() {
        for (text, names) in [
            ("(tag $e) (func (throw $e))", &["exceptions (GC)"] as &[_]),
            (
                "(type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))",
                &["garbage collection (GC)"],
            ),
            ("(memory 1 2 shared)", &["threads"]),
            ("(memory 1 (pagesize 1))", &["custom page sizes"]),
            (
                "(func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 2)))",
                &["wide arithmetic"],
            ),
            (
                "(type $f (func)) (type $c (cont $f)) (func (param (ref null $c)) (drop (local.get 0)))",
                &["garbage collection (GC)", "stack switching"],
            ),
            (
                "(memory 1 2 shared) (memory 1 (pagesize 1)) (tag $e) (func (throw $e))",
                &["threads", "exceptions (GC)", "custom page sizes"],
            ),
        ] {
            assert_eq!(of_module(text), needs(names), "{text}");
        }
        let text = "(component (type (func async)))";
        let bytes = wat::parse_str(text).unwrap();
        assert_eq!(validity(&bytes), needs(&["component model async"]));
    }

    #[test]
    fn what_is_offered_is_valid_and_what_is_wrong_is_invalid() {
        for text in [
            "(memory i64 1)",
            "(memory 1) (memory 1)",
            "(func $f (return_call $f))",
            "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
            "(func (param (ref func)))",
        ] {
            assert_eq!(of_module(text), Validity::Valid, "{text}");
        }
        let wrong = of_module("(func (result i32))");
        assert!(matches!(wrong, Validity::Invalid(_)), "{wrong:?}");
    }

    #[test]
    fn the_engine_takes_what_is_offered() {
        let mut config = Config::new();
        configure(&mut config);
        let engine = wasmtime::Engine::new(&config).unwrap();
        let text = "(component (core module (memory i64 1) (memory 1) (func $f (return_call $f))))";
        let bytes = wat::parse_str(text).unwrap();
        wasmtime::component::Component::new(&engine, bytes).unwrap();
    }
}
