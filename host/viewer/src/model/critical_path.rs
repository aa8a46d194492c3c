//! The critical path of a trace: the spans without which it would have ended sooner.

use crate::model::SpanModel;

/// Marks the spans on the path, from the end backwards: of the children that had ended
/// by then, the one that ended last held its parent up.
pub(crate) fn mark(spans: &mut [SpanModel]) {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (at, span) in spans.iter().enumerate() {
        match span.parent {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    for list in &mut children {
        list.sort_by_key(|at| spans[*at].head.end);
    }
    // The path of the root that ended last; other roots arrived without their parents.
    let Some(last) = roots.into_iter().max_by_key(|at| spans[*at].head.end) else {
        return;
    };
    let mut stack = vec![(last, spans[last].head.end)];
    while let Some((at, until)) = stack.pop() {
        spans[at].is_critical = true;
        let head = spans[at].head;
        let mut until = until.min(head.end);
        for child in children[at].iter().rev() {
            let child_head = spans[*child].head;
            // One that outlives its parent did not hold it up at its end.
            if child_head.end > until || child_head.end < head.start {
                continue;
            }
            stack.push((*child, child_head.end));
            until = child_head.start;
        }
    }
}
