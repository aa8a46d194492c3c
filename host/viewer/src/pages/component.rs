//! The served component: its versions, what it imports, and how offers of others ended.

use maud::{Markup, html};

use crate::pages::format;
use crate::pages::layout::{Context, Page, View, command, layout};
use crate::status::{Access, ComponentVersion, SwapOutcome, SwapRecord};

/// Imports and records that are shown.
const MAX_IMPORTS: usize = 200;
const MAX_RECORDS: usize = 100;

pub(crate) fn page(context: &Context<'_>) -> Page {
    let status = context.host.component();
    let most = format::bytes(status.max_upload_bytes);
    let main = html! {
        h1.hidden { "Component" }
        div #versions.cards.versions data-live {
            @match &status.current {
                Some(current) => (version("Served", current, true)),
                None => { div.card { p { "No component is served." } } }
            }
            @if let Some(previous) = &status.previous { (version("Before", previous, false)) }
        }
        section #swap {
            h2 { "Replace it" }
            div.swap data-upload data-max=(status.max_upload_bytes) {
                p.upload hidden {
                    label.button { "Choose a component" input.hidden #file type="file" accept=".wasm,application/wasm"; }
                    " " span.muted { "or drop it here, at most " (most) ". The served component stays until the new one has passed its checks." }
                }
                p #upload-result role="status" {}
                div #way-back data-live {
                    @if status.previous.is_some() {
                        form method="post" action="/component/rollback" {
                            button type="submit" { "Roll back to the one before" }
                        }
                    }
                }
            }
            p.muted { "From a shell:" }
            (command("fanlight swap FILE.wasm"))
        }
        section {
            h2 { "Swaps" }
            div #history data-live { (history(&status.history)) }
        }
    };
    layout(View::Component, "Component", "component", context, main)
}

fn version(heading: &str, version: &ComponentVersion, is_open: bool) -> Markup {
    let (denied, granted): (Vec<_>, Vec<_>) = version
        .imports
        .iter()
        .take(MAX_IMPORTS)
        .partition(|it| it.access == Access::Denied);
    html! {
        div.card.version {
            h2 { (heading) }
            p.figure { (version.version) " " span.muted { "#" (version.generation) } }
            dl.facts {
                div { dt { "In flight" } dd { (format::counted(version.in_flight, "request")) } }
                div { dt { "Since" } dd { (format::date_time(version.loaded_at)) } }
                div { dt { "Size" } dd { (format::bytes(version.size)) } }
                div.wide { dt { "From" } dd { (version.source) } }
                div.wide {
                    dt { "Digest" }
                    dd { code.id { (version.digest) } " "
                        button.copy type="button" data-copy=(version.digest) hidden { "Copy" } }
                }
            }
            @if !version.imports.is_empty() {
                details.imports open[is_open] {
                    summary { "Imports " span.muted { (version.imports.len()) } }
                    ul {
                        @for it in &granted { li { code { (it.name) } } }
                        @for it in &denied { li { code { (it.name) } " " span.denied { "denied" } } }
                    }
                }
            }
        }
    }
}

fn history(history: &[SwapRecord]) -> Markup {
    if history.is_empty() {
        return html! { p.muted { "The component has not been replaced since the start." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Swaps" {
            table.history {
                thead { tr {
                    th scope="col" { "Time" }
                    th scope="col" { "Outcome" }
                    th scope="col" { "Version" }
                    th scope="col" { "From" }
                    th scope="col" { "Trace" }
                } }
                tbody { @for it in history.iter().take(MAX_RECORDS) { (record(it)) } }
            }
        }
    }
}

fn record(record: &SwapRecord) -> Markup {
    let (outcome, class) = match record.outcome {
        SwapOutcome::Swapped => ("swapped", "good"),
        SwapOutcome::Unchanged => ("unchanged", "good"),
        SwapOutcome::RolledBack => ("rolled back", "client"),
        SwapOutcome::Refused => ("refused", "bad"),
        SwapOutcome::Superseded => ("superseded", "client"),
    };
    html! {
        tr data-row {
            td { (format::date_time(record.at)) }
            td { span class=(format!("code {class}")) { (outcome) } }
            td {
                (record.version)
                @if let Some(generation) = record.generation { span.muted { " #" (generation) } }
                @if let Some(reason) = &record.reason { p.reason { (reason) } }
            }
            td { (record.source) }
            td {
                @if let Some(trace) = &record.trace_id {
                    a href=(format!("/ui/trace/{trace}")) { "trace" }
                }
            }
        }
    }
}
