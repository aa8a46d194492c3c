//! Compiles a component ahead of time, for `fanlight compile`.

use crate::component::slot::SlotError;
use crate::sandbox::compiled_file::{self, Header, NativeCode};
use crate::sandbox::compiler::Compiler;
use crate::sandbox::engine::{EngineConfig, TickingEngine};
use crate::sandbox::load_error::LoadError;

/// Compiles a component for hosts with this configuration on processors like this one,
/// and returns the file that they load. All that a server checks when it loads a
/// component is checked.
///
/// # Errors
/// Where there is no engine, or a server would refuse the component.
pub fn compile_ahead(component: &[u8], config: &EngineConfig) -> Result<Vec<u8>, SlotError> {
    if compiled_file::is_compiled(component) {
        let why = "`fanlight compile` has written it".to_owned();
        return Err(LoadError::NotAComponent(why).into());
    }
    let engine = TickingEngine::for_compiling(config)?;
    let compiler = Compiler::new(&engine, config)?;
    let compiled = compiler.compile(component, NativeCode::Refused)?;
    let code = compiled.code()?;
    let linked = compiler.link(compiled)?;
    compiler.try_instance(&linked)?;
    let header = Header::of_this_host(config.direct_imports);
    Ok(compiled_file::write(&header, component, &code))
}
