//go:build unix && !linux

package host

// addressesAreScarce is not known here.
func addressesAreScarce() bool { return false }
