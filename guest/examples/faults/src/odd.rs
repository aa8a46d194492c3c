//! Saying by `wasi:http` what the query says, however odd it is.

use fanlight_guest::Request;
use fanlight_guest::bindings::fanlight::http::outgoing_response;
use fanlight_guest::bindings::wasi::http::types::{
    Fields, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// What one call writes to a body at most.
const MAX_WRITE: usize = 4096;

/// An answer as the query has it: `status=404`, `head=name:value`, `body=text` and
/// `trailer=name:value`; `fields=10` adds ten headers, `long=10` one of ten bytes, and
/// `at-once=yes` sends it in one call, without trailers.
#[derive(Default)]
struct Said {
    status: u16,
    head: Vec<(String, Vec<u8>)>,
    body: String,
    trailers: Vec<(String, Vec<u8>)>,
    is_at_once: bool,
}

impl Said {
    fn by(request: &Request) -> Self {
        let mut said = Self {
            status: 200,
            ..Self::default()
        };
        for (name, value) in request.query_params() {
            let number = || value.parse().unwrap_or(0);
            match &*name {
                "status" => said.status = value.parse().unwrap_or(0),
                "head" => said.head.push(field(&value)),
                "fields" => {
                    let fields = (0..number()).map(|n| (format!("x-{n}"), n.to_string().into()));
                    said.head.extend(fields);
                }
                "long" => said.head.push(("x-long".into(), vec![b'x'; number()])),
                "body" => said.body = value.into_owned(),
                "trailer" => said.trailers.push(field(&value)),
                "at-once" => said.is_at_once = true,
                _ => {}
            }
        }
        said
    }
}

/// A name and a value, each of whose characters is a byte.
fn field(text: &str) -> (String, Vec<u8>) {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let bytes = value.chars().filter_map(|it| u8::try_from(it).ok());
    (name.to_owned(), bytes.collect())
}

/// Says it; the header `x-refused` names what the host did not take of the head.
pub(crate) fn say(request: &Request, outparam: ResponseOutparam) {
    let said = Said::by(request);
    if said.is_at_once {
        let head = said.head.iter();
        let head: Vec<_> = head.map(|(name, value)| (&**name, &**value)).collect();
        outgoing_response::send(&outparam, said.status, &head, said.body.as_bytes()).ok();
        return;
    }
    let (head, refused) = fields(&said.head);
    for name in refused {
        head.append("x-refused", name.as_bytes()).ok();
    }
    let response = OutgoingResponse::new(head);
    response.set_status_code(said.status).ok();
    let body = response.body();
    ResponseOutparam::set(outparam, Ok(response));
    let Ok(body) = body else {
        return;
    };
    if let Ok(stream) = body.write() {
        for piece in said.body.as_bytes().chunks(MAX_WRITE) {
            // An error means that the host takes no more of it.
            stream.blocking_write_and_flush(piece).ok();
        }
    }
    let trailers = (!said.trailers.is_empty()).then(|| fields(&said.trailers).0);
    OutgoingBody::finish(body, trailers).ok();
}

/// Fields of these, and the names of those that the host refused.
fn fields(pairs: &[(String, Vec<u8>)]) -> (Fields, Vec<&str>) {
    let fields = Fields::new();
    let mut refused = Vec::new();
    for (name, value) in pairs {
        if fields.append(name, value).is_err() {
            refused.push(&**name);
        }
    }
    (fields, refused)
}
