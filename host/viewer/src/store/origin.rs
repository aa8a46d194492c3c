//! Where spans and log records come from: their resource and their scope. Both are the
//! same for nearly all of them, so they are kept once.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use crate::wire::{Fields, Value};

/// Origins that are remembered, to be shared by what comes next.
const REMEMBERED: usize = 64;

/// A resource and a scope of it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) resource: Arc<EncodedResource>,
    /// An encoded `InstrumentationScope`.
    scope: Box<[u8]>,
}

/// An encoded `Resource`, and the name of its service.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct EncodedResource {
    bytes: Box<[u8]>,
    pub(crate) service: String,
    /// The memory that each trace with it counts: nothing where all share it.
    room: usize,
}

impl Origin {
    pub(crate) fn resource(&self) -> Resource {
        Resource::decode(&*self.resource.bytes).unwrap_or_default()
    }

    pub(crate) fn scope(&self) -> InstrumentationScope {
        InstrumentationScope::decode(&*self.scope).unwrap_or_default()
    }

    pub(crate) fn service(&self) -> &str {
        &self.resource.service
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + 16 + self.scope.len() + self.resource.room
    }
}

impl EncodedResource {
    fn new(bytes: &[u8], is_shared: bool) -> Self {
        let resource = Resource::decode(bytes).unwrap_or_default();
        let name = resource
            .attributes
            .into_iter()
            .find(|it| it.key == "service.name");
        let service = match name.and_then(|it| it.value).and_then(|it| it.value) {
            Some(any_value::Value::StringValue(name)) => name,
            _ => String::new(),
        };
        Self {
            room: match is_shared {
                true => 0,
                false => size_of::<Self>() + 16 + bytes.len() + service.len(),
            },
            bytes: bytes.into(),
            service,
        }
    }
}

/// The origins that were seen last.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    /// The first resource is the host's, which all of its spans share.
    shared: Option<Arc<EncodedResource>>,
    remembered: Vec<Arc<Origin>>,
    next: usize,
}

impl Origins {
    /// The origin of an encoded resource and scope.
    pub(crate) fn of(&mut self, resource: &[u8], scope: &[u8]) -> Arc<Origin> {
        let known = |it: &&Arc<Origin>| *it.scope == *scope && *it.resource.bytes == *resource;
        if let Some(known) = self.remembered.iter().find(known) {
            return Arc::clone(known);
        }
        let known = self.remembered.iter().map(|it| &it.resource);
        let mut known = known.chain(&self.shared);
        let resource = match known.find(|it| *it.bytes == *resource) {
            Some(known) => Arc::clone(known),
            None => Arc::new(EncodedResource::new(resource, self.shared.is_none())),
        };
        self.shared.get_or_insert_with(|| Arc::clone(&resource));
        let origin = Arc::new(Origin {
            resource,
            scope: scope.into(),
        });
        match self.remembered.get_mut(self.next) {
            Some(oldest) => *oldest = Arc::clone(&origin),
            None => self.remembered.push(Arc::clone(&origin)),
        }
        self.next = (self.next + 1) % REMEMBERED;
        origin
    }
}

/// The content of the first field of this number, or nothing.
pub(crate) fn first_message(message: &[u8], number: u32) -> &[u8] {
    let found = Fields::new(message).find_map(|(found, value)| match value {
        Value::Bytes(bytes) if found == number => Some(bytes),
        _ => None,
    });
    found.unwrap_or_default()
}
