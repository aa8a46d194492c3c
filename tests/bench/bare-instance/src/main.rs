//! The least that answers HTTP by a fresh instance of a component: bare hyper,
//! and for each request a store, an instance from a pool, one call, and their
//! end. The component has one module, imports nothing, is not told of the
//! request, and touches a page of its stack and one of its data. What a server
//! of components does beyond this is measured against it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As a Rust component with a stack of 64 KiB has it: data behind it, and a table.
const COMPONENT: &str = r#"
(component
  (core module $module
    (memory (export "memory") 2)
    (table 16 funcref)
    (data (i32.const 0x10000) "data")
    (func (export "run")
      (i32.store (i32.const 0x00ff00) (i32.const 1))
      (i32.store (i32.const 0x10004) (i32.const 1))))
  (core instance $instance (instantiate $module))
  (func (export "run") (canon lift (core func $instance "run"))))
"#;

/// Instances that may live at once: more than there are connections.
const SLOTS: u32 = 1_000;
/// Ticks that never come, for nothing increments the epoch.
const NO_DEADLINE: u64 = 1_000_000;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Answers `hello`, when an instance has run.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// The component, with all that can be done before a request.
struct Ready {
    engine: Engine,
    instance: InstancePre<()>,
    run: ComponentExportIndex,
}

impl Ready {
    /// Configured as Fanlight's engine is.
    fn new() -> Result<Self, Error> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(SLOTS)
            .total_memories(SLOTS)
            .total_stacks(SLOTS)
            .total_tables(SLOTS)
            .total_core_instances(SLOTS)
            .linear_memory_keep_resident(128 * 1024)
            .table_keep_resident(64 * 1024)
            // As in Fanlight (docs/security.md).
            .pagemap_scan(Enabled::No);
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .wasm_component_model_async(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let component = Component::new(&engine, wat::parse_str(COMPONENT)?)?;
        let run = component.get_export_index(None, "run");
        Ok(Self {
            instance: Linker::new(&engine).instantiate_pre(&component)?,
            run: run.ok_or("the component exports no `run`")?,
            engine,
        })
    }

    /// Makes an instance, calls it, and drops it.
    async fn call(&self) -> wasmtime::Result<()> {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(NO_DEADLINE);
        let instance = self.instance.instantiate_async(&mut store).await?;
        let run = instance.get_typed_func::<(), ()>(&mut store, self.run)?;
        run.call_async(&mut store, ()).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let ready = Arc::new(Ready::new()?);
    let listener = TcpListener::bind(Args::parse().listen).await?;
    eprintln!("serving at http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let ready = Arc::clone(&ready);
        tokio::spawn(async move {
            let service = service_fn(move |_| answer(Arc::clone(&ready)));
            // A client that goes away is no matter here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(ready: Arc<Ready>) -> wasmtime::Result<http::Response<Full<Bytes>>> {
    ready.call().await?;
    let mut response = http::Response::new(Full::new(Bytes::from_static(b"hello\n")));
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}
