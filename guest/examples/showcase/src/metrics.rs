//! Instruments of every kind, and one that cannot be had.

use fanlight_guest::{
    InstrumentError, Response, attributes, counter, gauge, histogram, up_down_counter,
};

/// Adds the same to one instrument of each kind.
pub(crate) fn one_of_each() -> Result<(), InstrumentError> {
    let attributes = attributes!["color" = "red", "size" = 3];
    counter("showcase.counter")
        .unit("{thing}")
        .description("Things counted")
        .u64()?
        .add(2, &attributes);
    counter("showcase.counter_f64")
        .unit("By")
        .f64()?
        .add(0.5, &attributes);
    let up_down = up_down_counter("showcase.up_down_counter").i64()?;
    up_down.add(5, &attributes);
    up_down.add(-3, &attributes);
    let up_down = up_down_counter("showcase.up_down_counter_f64").f64()?;
    up_down.add(2.5, &attributes);
    up_down.add(-1.0, &attributes);
    let histogram = histogram("showcase.histogram")
        .unit("ms")
        .bounds(&[1.0, 10.0, 100.0])
        .f64()?;
    for value in [0.5, 5.0, 50.0, 500.0] {
        histogram.record(value, &attributes);
    }
    gauge("showcase.gauge")
        .scope("showcase-library", "1.2.3")
        .i64()?
        .record(-7, &attributes);
    gauge("showcase.gauge_f64").f64()?.record(0.25, &attributes);
    Ok(())
}

/// Adds one value to each of the same instruments, without a handle.
pub(crate) fn one_value_each() -> Result<(), InstrumentError> {
    let attributes = attributes!["color" = "red", "size" = 3];
    counter("showcase.counter")
        .unit("{thing}")
        .add_u64(2, &attributes)?;
    let bytes = counter("showcase.counter_f64").unit("By");
    // A sum that only grows takes no negative value.
    bytes.clone().add_f64(-9.0, &attributes)?;
    bytes.add_f64(0.5, &attributes)?;
    up_down_counter("showcase.up_down_counter").add_i64(-2, &attributes)?;
    up_down_counter("showcase.up_down_counter_f64").add_f64(-1.5, &attributes)?;
    histogram("showcase.histogram")
        .unit("ms")
        .bounds(&[1.0, 10.0, 100.0])
        .record_f64(5.0, &attributes)?;
    gauge("showcase.gauge")
        .scope("showcase-library", "1.2.3")
        .record_i64(-8, &attributes)?;
    gauge("showcase.gauge_f64").record_f64(0.75, &attributes)
}

/// Opens a name as two kinds, and names that are not allowed.
pub(crate) fn clash() -> Response {
    let outcomes = [
        counter("showcase.clash").u64().err(),
        gauge("showcase.clash").f64().err(),
        counter("0 is no letter").u64().err(),
        histogram("showcase.falling")
            .bounds(&[2.0, 1.0])
            .f64()
            .err(),
        gauge("showcase.clash").record_i64(1, &[]).err(),
        histogram("showcase.falling")
            .bounds(&[2.0, 1.0])
            .record_f64(1.0, &[])
            .err(),
    ];
    let lines = outcomes.map(|error| error.map_or("ok\n".into(), |error| format!("{error}\n")));
    Response::text(lines.concat())
}

/// Measures in units that UCUM has, and in others.
pub(crate) fn units() -> Result<(), InstrumentError> {
    let speed = gauge("units.speed").unit("km/h").f64()?;
    speed.record(50.0, &[]);
    counter("units.distance").unit("km").add_u64(7, &[])?;
    let times = histogram("units.time").unit("seconds").bounds(&[1.0]);
    times.record_f64(0.5, &[])?;
    gauge("units.used").unit("1").record_f64(0.5, &[])?;
    gauge("units.seconds.waited")
        .unit("s")
        .record_f64(2.0, &[])?;
    // For Prometheus one name, of which the first stays.
    gauge("units.rate").unit("req/s").record_f64(1.0, &[])?;
    gauge("units_rate").unit("req/s").record_f64(2.0, &[])
}

pub(crate) fn refused(error: InstrumentError) -> Response {
    Response::text(format!("{error}\n")).status(500)
}
