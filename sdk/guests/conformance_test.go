package sdk_test

import (
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/conformance"
)

// transcripts are what a guest answers.
var transcripts = map[string]string{
	bareEcho:     "../../host/conformance/testdata/echo.txt",
	echo:         "../../host/conformance/testdata/echo.txt",
	lineReceiver: "../../host/conformance/testdata/linereceiver.txt",
	counter:      "testdata/counter.txt",
	datagrams:    "testdata/datagrams.txt",
}

// Every guest keeps the promises of package conformance.
func TestConformance(t *testing.T) {
	for _, l := range languages() {
		if l.name == "Go" && *table == "" {
			continue // see guestsOfGo
		}
		for _, guest := range l.guests {
			if guest == everything {
				continue // is not meant to run
			}
			passed := t.Run(l.name+"/"+guest, func(t *testing.T) {
				conformance.Run(t, conformance.Guest{
					Config:      config.Plugin{Module: build(t, l, guest)},
					Transcripts: []string{transcripts[guest]}, Garbage: true, Datagrams: guest == datagrams,
				})
			})
			count(columnConformance, l, passed)
		}
	}
}
