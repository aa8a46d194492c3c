package greeting

import "testing"

func TestAGreetingHasTheName(t *testing.T) {
	if got := For("Ada"); got != "hello, Ada" {
		t.Errorf("got %q", got)
	}
}
