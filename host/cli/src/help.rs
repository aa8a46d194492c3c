//! What `--help` says below the flags. The reference page shows the same text.

/// Below the flags of `fanlight serve`.
pub(crate) const SERVE: &str = "\
Values:
  A flag overrides its variable, and an empty variable is unset. Durations are
  written 30s or 500ms, sizes 64MiB. In a variable, a flag without a value is true,
  1, yes, on or false, 0, no, off; the server does not start with another word.

Configuration file:
  A flag or a variable overrides the file. The keys of the file are the long flags
  without the dashes, and `component`. A flag that may be repeated takes an array.
  Paths are relative to the working directory. The server does not start with an
  unknown key or a wrong value. A token is no key: `admin-token-file` names a file
  that holds it.

    component = \"hello.wasm\"
    listen = \"0.0.0.0:8000\"
    max-instances = 1000
    watch = true
    trust-proxy = [\"10.0.0.0/8\", \"192.0.2.1\"]

Other variables:
  FANLIGHT_LOG                 what the log says, such as debug or warn [default: info];
                               the lines that components print have the target guest
  OTEL_EXPORTER_OTLP_ENDPOINT  the collector [default: http://localhost:4317]
  OTEL_EXPORTER_OTLP_PROTOCOL  grpc, http/protobuf or http/json [default: grpc]
  OTEL_SERVICE_NAME            the service [default: the component's name, or its file's]
  docs/telemetry.md has all variables that begin with OTEL_.

Exit codes:
  0  the server ended on SIGTERM or SIGINT, its requests answered
  1  it failed while running, such as a port in use, or a second signal ended it
  2  bad use: a flag, a FANLIGHT_ variable, a component that cannot be served

Signals:
  SIGTERM, SIGINT  the server answers the requests that it has begun. It keeps idle
                   connections for one more second, in which it answers a request
                   with connection: close. A second signal ends it at once, but a
                   SIGTERM within a second of the first counts as the same one
  SIGHUP           reads the certificate of --tls-cert again
  SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO and SIGPIPE are ignored.";

/// Below the flags of `fanlight trace`.
pub(crate) const TRACE: &str = "\
Examples:
  fanlight trace http://127.0.0.1:8000/api/process
  fanlight trace -d '{\"a\": 1}' -H 'content-type: application/json' http://127.0.0.1:8000/
  fanlight trace 4bf92f3577b34da6a3ce929d0e0e4736

  A URL gets one request, with a traceparent of its own that is sampled. The command
  prints status and size of the response, waits until the trace is in the viewer of
  --admin-url, and prints it. It uses no proxy and follows no redirect.

Exit codes:
  0  the trace was printed, whatever the status of the response
  1  no answer, no such trace, no viewer at the admin address, or the trace did not
     arrive within 10 seconds
  2  bad use: a flag, a FANLIGHT_ variable, a file that cannot be read";

/// Below the flags of `fanlight traces`.
pub(crate) const TRACES: &str = "\
Examples:
  fanlight traces --status error --since 10m
  fanlight traces --min-duration 250ms --json

  The newest trace comes first. The viewer of a host keeps recent traces in memory:
  docs/viewer.md says which.

Exit codes:
  0  done, also where no trace matches
  1  no server answers, or it has no viewer for this client
  2  bad use: a flag, a FANLIGHT_ variable";

/// Below the flags of `fanlight logs`.
pub(crate) const LOGS: &str = "\
Examples:
  fanlight logs --follow
  fanlight logs --severity warn --text payment --json

  Log records of the component, the lines that it prints, and the host's own log, the
  oldest first.

Exit codes:
  0  done, also where no record matches
  1  no server answers, or it has no viewer for this client
  2  bad use: a flag, a FANLIGHT_ variable";

/// Below the flags of the commands that call the admin port.
pub(crate) const CLIENT: &str = "\
Exit codes:
  0  done: the server has swapped or rolled back, or it is ready
  1  the server refused or is not ready, or no server answers
  2  bad use: a flag, a FANLIGHT_ variable, a file that cannot be read";

/// Below the flags of `fanlight completions`.
pub(crate) const COMPLETIONS: &str = "\
Examples:
  fanlight completions bash > ~/.local/share/bash-completion/completions/fanlight
  fanlight completions zsh > ~/.zfunc/_fanlight    # fpath+=~/.zfunc before compinit
  fanlight completions fish > ~/.config/fish/completions/fanlight.fish";

/// Below the flags of `fanlight man`.
pub(crate) const MAN: &str = "\
Example:
  fanlight man ~/.local/share/man/man1
  man fanlight-serve";
/// Below the flags of `fanlight swap`.
pub(crate) const SWAP: &str = "\
Example:
  fanlight swap target/wasm32-wasip2/release/shop.wasm --deny-new-imports

Exit codes:
  0  done: the server serves the component
  1  the server refused it, or no server answers
  2  bad use: a flag, a FANLIGHT_ variable, a file that cannot be read";

/// Below the flags of `fanlight inspect`.
pub(crate) const INSPECT: &str = "\
Examples:
  fanlight inspect shop.wasm
  fanlight inspect shop.wasm new-shop.wasm    what a swap would change

The file is read and validated, but not compiled, and no code of it runs. The bounds
are those with which `fanlight serve` would start.

Exit codes, of one file:
  0  `fanlight serve` would accept it, as far as can be seen without compiling it
  1  `fanlight serve` would refuse it
  2  bad use: a flag, a FANLIGHT_ variable, a file that is no component

Exit codes, of two files:
  0  `fanlight serve` would accept the second one, which imports no interface that the
     first one does not
  1  it would refuse it, or the second one imports such an interface
  2  bad use";

/// Below the flags of `fanlight compile`.
pub(crate) const COMPILE: &str = "\
Example:
  fanlight compile shop.wasm -o shop.compiled
  fanlight serve shop.compiled

OUT holds the component and its native code. `fanlight serve OUT` and --watch load it
without compiling. It runs on this kind of processor, by a fanlight with the same engine
and the same --no-direct-imports; another one refuses it. Native code has no sandbox:
serve only files that you have compiled yourself. The admin port takes none.

Exit codes:
  0  done: OUT is written
  1  OUT cannot be written
  2  bad use: a flag, a FANLIGHT_ variable, a component that cannot be served";
/// Below the flags of `fanlight new`.
pub(crate) const NEW: &str = "\
Examples:
  fanlight new my-service
  fanlight new my-service --lang js

Exit codes:
  0  the project is made
  1  a file cannot be written
  2  bad use: a flag, a name that is not allowed, a folder that exists already";

/// Below the flags of `fanlight dev`.
pub(crate) const DEV: &str = "\
Examples:
  fanlight dev
  fanlight dev my-service --listen 127.0.0.1:8080

The project:
  A folder with Cargo.toml is built by cargo, one with package.json by `npm run build`.
  Its fanlight.toml may say otherwise, and has to say where another tool than cargo puts
  the component:

    [dev]
    build = \"npm run build\"
    component = \"my-service.wasm\"

  It is built again when a source changes: a file that .gitignore does not name. Never
  sources are .git, .venv, __pycache__, dist, node_modules, target and *.wasm. A build
  that fails is seen here and in the viewer, and the old component goes on.

  All flags, variables and signals of `fanlight serve` apply; COMPONENT and --watch are
  those that the build makes.

Exit codes:
  0  ended by SIGTERM or SIGINT
  1  it failed while running, such as a port in use
  2  bad use: a flag, a variable, a folder that does not say how it is built";

/// Below the flags of `fanlight componentize`.
pub(crate) const COMPONENTIZE: &str = "\
Example:
  GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o module.wasm .
  fanlight componentize module.wasm --output my-service.wasm

Exit codes:
  0  the component is made
  1  the file cannot be written
  2  bad use: a flag, a file that cannot be read, a module that is not what the world says";
