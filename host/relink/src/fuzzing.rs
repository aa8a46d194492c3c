//! Runs a component as it was built and as it is relinked: what either of them says and
//! how it ends must be the same.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store, Trap};

use crate::link_directly;

/// Enough for what a component of some hundred bytes does.
const FUEL: u64 = 100_000;

/// What a component said, and how its call ended.
pub type Outcome = (Vec<String>, Result<(), String>);

/// Bytes of a component that imports and exports what `greeter.wat` does.
///
/// # Panics
/// Where the relinked component differs from the one that was built.
pub fn relinked(data: &[u8]) {
    let Ok(linked) = link_directly(data) else {
        return;
    };
    // What is no component, or none once it is relinked, is served as it was built.
    let (Some(built), Some(linked)) = (outcome(data), outcome(&linked)) else {
        return;
    };
    let is_out_of_fuel = |outcome: &Outcome| outcome.1 == Err(Trap::OutOfFuel.to_string());
    // The two do not take the same number of instructions.
    if !is_out_of_fuel(&built) && !is_out_of_fuel(&linked) {
        assert_eq!(built, linked);
    }
}

/// Instantiates a component and has it greet; `None` where the engine refuses it or
/// there is no such function.
pub fn outcome(component: &[u8]) -> Option<Outcome> {
    type Said = Arc<Mutex<Vec<String>>>;
    let engine = Engine::new(Config::new().consume_fuel(true)).ok()?;
    let component = Component::from_binary(&engine, component).ok()?;
    let mut linker = Linker::<Said>::new(&engine);
    let mut host = linker.instance("test:host/host").ok()?;
    let types = component.component_type();
    if let Some((_, host_type)) = types.imports(&engine).next()
        && let ComponentItem::ComponentInstance(host_type) = host_type.ty
        && let Some(name) = host_type.get_export(&engine, "name")
    {
        let added = match name.ty {
            ComponentItem::ComponentFunc(it) if it.results().len() == 0 => {
                host.func_wrap("name", |_, (): ()| Ok(()))
            }
            _ => host.func_wrap("name", |_, (): ()| Ok(("Ada".to_owned(),))),
        };
        added.ok()?;
    }
    host.func_wrap("say", |store, (text,): (String,)| {
        let said: &Said = store.data();
        said.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
        Ok(())
    })
    .ok()?;
    let mut store = Store::new(&engine, Said::default());
    store.set_fuel(FUEL).ok()?;
    let ended = (|| {
        let instance = linker.instantiate(&mut store, &component)?;
        let greet = instance.get_typed_func::<(&str,), ()>(&mut store, "greet")?;
        greet.call(&mut store, ("goodbye",))
    })();
    let ended = ended.map_err(
        |error: wasmtime::Error| match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => "refused".to_owned(),
        },
    );
    let said = store.data().lock();
    let said = said.unwrap_or_else(PoisonError::into_inner).clone();
    Some((said, ended))
}
