//! Saying something by every means, and then ending with all of it open.

use std::io::{Write, stdout};
use std::time::Duration;

use fanlight_guest::{
    InstrumentError, Request, Response, attributes, counter, histogram, info, sleep, span,
};

use crate::trap::{UNDERWAY, trap_on_purpose};

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(600);

/// Says it `when` the query has it, and then traps or waits, as `how` has it.
pub(crate) async fn lose(request: &Request) -> Response {
    let traps = request.query_param("how").as_deref() == Some("trap");
    match request.query_param("when").as_deref() {
        Some("after-head") => Response::stream(200, async move |body| {
            body.write("the first half, ").await?;
            body.flush().await?;
            sleep(UNDERWAY).await;
            say_and_end(traps).await?;
            Ok(())
        }),
        Some("after-answer") => Response::text("answered\n").after(async move {
            // Nobody is left to be told of an error.
            say_and_end(traps).await.ok();
        }),
        _ => match say_and_end(traps).await {
            Ok(()) => Response::text("it went on\n"),
            Err(error) => Response::text(format!("{error}\n")).status(500),
        },
    }
}

async fn say_and_end(traps: bool) -> Result<(), InstrumentError> {
    let _outer = span!("outer");
    let _middle = span!("middle");
    drop(span!("finished"));
    let _inner = span!("inner");
    counter("loss.counter").u64()?.add(1, &attributes![]);
    histogram("loss.histogram")
        .f64()?
        .record(7.0, &attributes![]);
    info!("recorded");
    print!("printed without an end");
    // An error means that nobody reads it.
    stdout().flush().ok();
    if traps {
        trap_on_purpose()
    }
    sleep(FOR_EVER).await;
    Ok(())
}
