//! The pages: HTML and SVG, rendered on the host. Each view is a link that works without
//! a script.
//!
//! All text goes through maud, which escapes it: what a guest or a client sends never
//! becomes markup. Nothing is inline but SVG's own attributes, so that the policy of
//! the pages can refuse all other styles and scripts.

pub(crate) mod compare;
pub(crate) mod component;
pub(crate) mod filters;
pub(crate) mod flame;
pub(crate) mod format;
pub(crate) mod layout;
pub(crate) mod logs;
pub(crate) mod marks;
pub(crate) mod metrics;
pub(crate) mod plots;
pub(crate) mod scatter;
pub(crate) mod shown;
pub(crate) mod span;
pub(crate) mod trace;
pub(crate) mod traces;
pub(crate) mod waterfall;

use crate::pages::layout::{Context, Page};

/// Renders the page of a path; `None` where there is none.
pub(crate) fn render(path: &str, context: &Context<'_>) -> Option<Page> {
    Some(match path {
        "/" => traces::page(context),
        "/ui/logs" => logs::page(context),
        "/ui/metrics" => metrics::page(context),
        "/ui/component" => component::page(context),
        "/ui/compare" => compare::page(context),
        _ => trace::page(path.strip_prefix("/ui/trace/")?, context),
    })
}
