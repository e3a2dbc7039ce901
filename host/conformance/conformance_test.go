package conformance

import (
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

func TestEcho(t *testing.T) {
	for name, module := range map[string]string{"wat": "../testdata/echo.wasm", "go": "../../plugins/echo/echo.wasm"} {
		t.Run(name, func(t *testing.T) {
			Run(t, Guest{
				Config:      config.Plugin{Module: module},
				Transcripts: []string{"testdata/echo.txt"}, Garbage: true,
			})
		})
	}
}

func TestLineReceiver(t *testing.T) {
	Run(t, Guest{
		Config:      config.Plugin{Module: "../../plugins/linereceiver/linereceiver.wasm"},
		Transcripts: []string{"testdata/linereceiver.txt"}, Garbage: true,
	})
}

func TestDatagrams(t *testing.T) {
	Run(t, Guest{
		Config:      config.Plugin{Module: "../testdata/datagrams.wasm"},
		Transcripts: []string{"testdata/datagrams.txt"}, Datagrams: true,
	})
}
