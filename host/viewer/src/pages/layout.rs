//! The frame that all pages share, and what they are made of.

use maud::{DOCTYPE, Markup, html};

use crate::assets;
use crate::config::ViewerConfig;
use crate::params::Params;
use crate::samples::Samples;
use crate::status::HostStatus;
use crate::store::Store;

/// What a page is made of.
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) host: &'a dyn HostStatus,
    pub(crate) config: &'a ViewerConfig,
    pub(crate) samples: &'a Samples,
    pub(crate) params: &'a Params,
}

/// A page, and whether what it is asked for was found.
pub(crate) struct Page {
    pub(crate) is_found: bool,
    pub(crate) html: Markup,
}

/// The views of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Traces,
    Logs,
    Metrics,
    Component,
}

impl View {
    const ALL: [Self; 4] = [Self::Traces, Self::Logs, Self::Metrics, Self::Component];

    fn name(self) -> &'static str {
        match self {
            Self::Traces => "Traces",
            Self::Logs => "Logs",
            Self::Metrics => "Metrics",
            Self::Component => "Component",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/",
            Self::Logs => "/ui/logs",
            Self::Metrics => "/ui/metrics",
            Self::Component => "/ui/component",
        }
    }
}

/// The frame around a view.
pub(crate) fn layout(
    view: View,
    title: &str,
    events: &str,
    context: &Context<'_>,
    main: Markup,
) -> Page {
    let component = context.host.component();
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Fanlight" }
                link rel="icon" type="image/svg+xml" href=(assets::url("icon.svg"));
                link rel="stylesheet" href=(assets::url("style.css"));
                script type="module" src=(assets::url("main.js")) {}
            }
            body data-events=(events) {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href="/" {
                        (mark())
                        span { "Fanlight" }
                    }
                    nav aria-label="Views" {
                        @for it in View::ALL {
                            a href=(it.path()) aria-current=[(it == view).then_some("page")] {
                                (it.name())
                            }
                        }
                    }
                    @if let Some(current) = &component.current {
                        a #served.served data-live href="/ui/component" title="The component that is served" {
                            span.served-name { (current.version) }
                            span.muted { "#" (current.generation) }
                        }
                    }
                    span #live.live role="status" title="Live updates" {
                        span.dot {}
                        span.live-text { "static" }
                    }
                }
                main #main tabindex="-1" { (main) }
            }
        }
    };
    Page {
        is_found: true,
        html,
    }
}

/// A fanlight: the window over a door.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 14" width="24" height="14" aria-hidden="true" focusable="false" {
            path d="M1 13a11 11 0 0 1 22 0Z" {}
            path d="M8 13a4 4 0 0 1 8 0M12 2v7M4.2 5.2l5 5M19.8 5.2l-5 5" {}
        }
    }
}

/// A page that says that what was asked for is not here; it may come with `events`.
pub(crate) fn not_found(
    view: View,
    what: &str,
    why: Markup,
    events: &str,
    context: &Context<'_>,
) -> Page {
    let main = html! {
        div #nothing.empty data-live {
            h1 { (what) }
            (why)
            p { a href="/" { "All traces" } }
        }
    };
    Page {
        is_found: false,
        ..layout(view, what, events, context, main)
    }
}

/// A command to be copied.
pub(crate) fn command(text: &str) -> Markup {
    html! {
        div.command {
            code { (text) }
            button.copy type="button" data-copy=(text) hidden { "Copy" }
        }
    }
}
