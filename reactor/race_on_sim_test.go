//go:build race

package reactor_test

const raceEnabled = true

// defaultSeeds is fewer than without the race detector, which takes ten times as
// long.
const defaultSeeds = 1000
