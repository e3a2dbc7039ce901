//go:build unix && !linux

package guest

// addressesAreScarce is not known here.
func addressesAreScarce() bool { return false }
