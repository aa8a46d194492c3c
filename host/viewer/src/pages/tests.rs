//! What a component or a client sends is text on every page.

use crate::params::Params;
use crate::query::{Search, contains};

#[test]
fn a_search_of_the_list_is_the_default_without_parameters() {
    assert_eq!(
        super::filters::search(&Params::default()),
        Search::default()
    );
    assert!(contains(b"x", ""));
}
