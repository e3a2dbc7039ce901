//go:build race

package host

func init() { raceDetector = true }
