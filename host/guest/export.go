package guest

import "github.com/wirehost/wirehost/abi"

// export numbers the guest's functions, so that what calls them lies in an array.
type export uint8

const (
	exInitialize export = iota
	exReceiveBuffer
	exStartFactory
	exStopFactory
	exBuildProtocol
	exConnectionMade
	exDataReceived
	exConnectionLost
	exReadConnectionLost
	exWriteConnectionLost
	exHandshakeCompleted
	exPauseProducing
	exResumeProducing
	exStopProducing
	exDelayedCall
	exClientConnectionFailed
	exStartProtocol
	exDatagramsReceived
	exConnectionRefused
	exStopProtocol
	exLogPrefix
	exInstanceMade
	exStateVersion
	exSaveState
	exRestoreState
	exRestoreBuffer
	exStart // the start section
	exports
)

// exportNames are the names in the contract, but for the last one's: a test holds them
// to abi.Exports.
var exportNames = [exports]string{
	exInitialize:             "_initialize",
	exReceiveBuffer:          "receiveBuffer",
	exStartFactory:           "startFactory",
	exStopFactory:            "stopFactory",
	exBuildProtocol:          "buildProtocol",
	exConnectionMade:         "connectionMade",
	exDataReceived:           "dataReceived",
	exConnectionLost:         "connectionLost",
	exReadConnectionLost:     "readConnectionLost",
	exWriteConnectionLost:    "writeConnectionLost",
	exHandshakeCompleted:     "handshakeCompleted",
	exPauseProducing:         "pauseProducing",
	exResumeProducing:        "resumeProducing",
	exStopProducing:          "stopProducing",
	exDelayedCall:            "delayedCall",
	exClientConnectionFailed: "clientConnectionFailed",
	exStartProtocol:          "startProtocol",
	exDatagramsReceived:      "datagramsReceived",
	exConnectionRefused:      "connectionRefused",
	exStopProtocol:           "stopProtocol",
	exLogPrefix:              "logPrefix",
	exInstanceMade:           "instanceMade",
	exStateVersion:           "stateVersion",
	exSaveState:              "saveState",
	exRestoreState:           "restoreState",
	exRestoreBuffer:          "restoreBuffer",
	exStart:                  "the start section",
}

func (e export) String() string { return exportNames[e] }

// gateNumbers are the numbers of the guest's functions in its gate.
func gateNumbers() (numbers [exports]uint64) {
	all := abi.Exports()
	for e := range numbers {
		numbers[e] = uint64(len(all)) // the start section's, behind the others
		for n := range all {
			if all[n].Name == exportNames[e] {
				numbers[e] = uint64(n)
			}
		}
	}
	return numbers
}
