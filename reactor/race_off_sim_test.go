//go:build !race

package reactor_test

const raceEnabled = false

// defaultSeeds of TestSimulate take one to three seconds.
const defaultSeeds = 3000
