// Package greeting calls no host, so its test runs on any machine.
package greeting

// For greets by name.
func For(name string) string {
	return "hello, " + name
}
