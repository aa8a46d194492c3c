//! The resource: what speaks, and where it runs. No secrets: neither arguments
//! nor other variables are looked at.

use std::path::Path;

use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{ResourceDetector as _, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use crate::config::env::{Env, percent_decoded};

/// What the component calls itself, for where the environment says nothing.
#[derive(Clone, Debug)]
pub struct ServiceIdentity {
    /// `service.name`.
    pub name: String,
    /// `service.version`, where the component has one.
    pub version: Option<String>,
}

impl From<&str> for ServiceIdentity {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
        }
    }
}

/// The attributes of the resource: the environment's word stands over what the
/// component says and what is found out.
pub(crate) fn attributes(env: &mut Env, service: ServiceIdentity) -> Vec<KeyValue> {
    let mut attributes = from_variable(env);
    if let Some(name) = env.text("OTEL_SERVICE_NAME") {
        attributes.retain(|attribute| attribute.key.as_str() != "service.name");
        attributes.push(KeyValue::new("service.name", name));
    }
    let version = service
        .version
        .map(|it| KeyValue::new("service.version", it));
    let known = [
        KeyValue::new("service.name", service.name),
        KeyValue::new("service.instance.id", random_uuid()),
    ];
    for attribute in known.into_iter().chain(version).chain(surroundings()) {
        if attributes.iter().all(|given| given.key != attribute.key) {
            attributes.push(attribute);
        }
    }
    attributes
}

/// The resource of these attributes, and of what sends them.
pub(crate) fn resource(attributes: &[KeyValue]) -> Resource {
    let sdk = TelemetryResourceDetector.detect();
    let sdk = sdk
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(sdk)
        .with_attributes(attributes.iter().cloned())
        .build()
}

/// `key=value,key=value`, percent-decoded; one bad pair discards the whole, as
/// the specification has it. The last value of a key counts.
fn from_variable(env: &mut Env) -> Vec<KeyValue> {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let Some(text) = env.text(NAME) else {
        return Vec::new();
    };
    let mut attributes: Vec<KeyValue> = Vec::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let decoded = pair.split_once('=').and_then(|(key, value)| {
            let key = percent_decoded(key.trim())?;
            let value = percent_decoded(value.trim())?;
            (!key.is_empty()).then(|| (Key::from(key), value))
        });
        let Some((key, value)) = decoded else {
            env.warn_unexpected(NAME, &text, "key=value,key=value, percent-encoded");
            return Vec::new();
        };
        attributes.retain(|known| known.key != key);
        attributes.push(KeyValue::new(key, value));
    }
    // Empty is unset here as well: the service has a name.
    attributes.retain(|it| it.key.as_str() != "service.name" || !it.value.as_str().is_empty());
    attributes
}

/// Where this process runs, as far as that is cheap to know.
fn surroundings() -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("os.type", os_type()),
        KeyValue::new("host.arch", host_arch()),
    ];
    if let Some(name) = first_line("/proc/sys/kernel/hostname") {
        attributes.push(KeyValue::new("host.name", name));
    }
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let container = container_of_cgroup(&read("/proc/self/cgroup"))
        .or_else(|| container_of_mounts(&read("/proc/self/mountinfo")));
    if let Some(id) = container {
        attributes.push(KeyValue::new("container.id", id));
    }
    attributes
}

fn first_line(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The semantic conventions' word.
fn os_type() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "dragonfly" => "dragonflybsd",
        other => other,
    }
}

/// The semantic conventions' word.
fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// Version 1 of control groups: the path of each ends in the container's id,
/// with a runtime's prefix and systemd's suffix around it.
fn container_of_cgroup(cgroup: &str) -> Option<String> {
    cgroup.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let last = path.trim_end_matches('/').rsplit('/').next()?;
        let last = last.strip_suffix(".scope").unwrap_or(last);
        let id = last.rsplit(['-', ':']).next()?;
        is_container_id(id).then(|| id.to_owned())
    })
}

/// Version 2: the group's own path is hidden, but what the runtime mounts over
/// `/etc/hostname` and its like comes from the container's folder.
fn container_of_mounts(mountinfo: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, mounted_at) = (fields.next()?, fields.next()?);
        if !["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].contains(&mounted_at) {
            return None;
        }
        let id = root.split('/').rfind(|part| is_container_id(part))?;
        Some(id.to_owned())
    })
}

fn is_container_id(text: &str) -> bool {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.len() == 64 && text.chars().all(is_hex)
}

/// Version 4 of RFC 9562. One process has one, however often it is asked.
fn random_uuid() -> String {
    let mut bytes = RandomIdGenerator::default().new_trace_id().to_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| &digits[group]);
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn of(vars: &[(&str, &str)], version: Option<&str>) -> Vec<KeyValue> {
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let service = ServiceIdentity {
            name: "demo".into(),
            version: version.map(str::to_owned),
        };
        attributes(&mut Env::new(vars), service)
    }

    fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
        let mut found = attributes.iter().filter(|it| it.key.as_str() == key);
        let value = found.next().map(|it| it.value.to_string());
        assert!(found.next().is_none(), "{key} is there twice");
        value
    }

    #[test]
    fn the_environment_stands_over_what_the_component_says() {
        let own = of(&[], Some("1.2.3"));
        assert_eq!(value(&own, "service.name").as_deref(), Some("demo"));
        assert_eq!(value(&own, "service.version").as_deref(), Some("1.2.3"));
        let given = [(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=shop,service.version=7,service.instance.id=one,host.name=here",
        )];
        let given = of(&given, Some("1.2.3"));
        for (key, wanted) in [
            ("service.name", "shop"),
            ("service.version", "7"),
            ("service.instance.id", "one"),
            ("host.name", "here"),
        ] {
            assert_eq!(value(&given, key).as_deref(), Some(wanted));
        }
        let named = [
            ("OTEL_SERVICE_NAME", "store"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop"),
        ];
        assert_eq!(
            value(&of(&named, None), "service.name").as_deref(),
            Some("store")
        );
        assert_eq!(value(&of(&named, None), "service.version"), None);
    }

    #[test]
    fn attributes_are_percent_decoded_and_one_bad_pair_discards_all() {
        let vars = [(
            "OTEL_RESOURCE_ATTRIBUTES",
            "team=a%2Cb, deployment.environment.name = prod ,team=c%20d,service.name=",
        )];
        let attributes = of(&vars, None);
        assert_eq!(value(&attributes, "team").as_deref(), Some("c d"));
        let prod = value(&attributes, "deployment.environment.name");
        assert_eq!(prod.as_deref(), Some("prod"));
        assert_eq!(value(&attributes, "service.name").as_deref(), Some("demo"));
        let bad = of(&[("OTEL_RESOURCE_ATTRIBUTES", "team=a,nonsense")], None);
        assert_eq!(value(&bad, "team"), None);
    }

    #[test]
    fn an_instance_has_an_id_that_no_other_has() {
        let [one, other] = [(); 2].map(|()| random_uuid());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
        assert!(["8", "9", "a", "b"].contains(&&one[19..20]), "{one}");
    }

    #[test]
    fn a_container_is_known_by_its_control_group() {
        for line in [
            format!("12:memory:/docker/{ID}"),
            format!("1:name=systemd:/system.slice/docker-{ID}.scope"),
            format!("4:cpu:/kubepods/besteffort/pod7/{ID}/"),
            format!("0::/kubepods.slice/kubepods-pod7.slice/cri-containerd-{ID}.scope"),
            format!("3:pids:/system.slice/containerd.service/kubepods-pod7:cri-containerd:{ID}"),
        ] {
            let cgroup = format!("11:cpu:/\n{line}\n");
            assert_eq!(container_of_cgroup(&cgroup).as_deref(), Some(ID), "{line}");
        }
        for line in ["0::/", "0::/user.slice/session-1.scope", "", "nonsense"] {
            assert_eq!(container_of_cgroup(line), None, "{line}");
        }
    }

    #[test]
    fn a_container_is_known_by_what_is_mounted_from_its_folder() {
        let other = "f".repeat(64);
        let root = format!("/var/lib/docker/containers/{ID}/hostname");
        let mounts = format!(
            "1 0 0:1 /var/lib/x/{other} /data rw - ext4 /dev/vda rw\n\
             2 1 254:1 {root} /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n"
        );
        assert_eq!(container_of_mounts(&mounts).as_deref(), Some(ID));
        let podman = format!(
            "3 1 0:25 /containers/overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs t rw"
        );
        assert_eq!(container_of_mounts(&podman).as_deref(), Some(ID));
        let host = "4 1 254:1 /etc/hostname /etc/hostname rw - ext4 /dev/vda1 rw";
        assert_eq!(container_of_mounts(host), None);
    }
}
