//go:build race

package compile

// raceDetector says that the race detector runs, for which limits of memory are
// too small.
const raceDetector = true
