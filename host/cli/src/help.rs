//! What `--help` says below the flags. The reference page shows the same text.

/// Below the flags of `fanlight serve`.
pub(crate) const SERVE: &str = "\
Values:
  A flag overrides its variable, and an empty variable is unset. Durations are
  written 30s or 500ms, sizes 64MiB. In a variable, a flag without a value is true,
  1, yes, on or false, 0, no, off; the server does not start with another word.

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

/// Below the flags of the commands that call the admin port.
pub(crate) const CLIENT: &str = "\
Exit codes:
  0  done: the server has swapped or rolled back, or it is ready
  1  the server refused or is not ready, or no server answers
  2  bad use: a flag, a FANLIGHT_ variable, a file that cannot be read";

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
