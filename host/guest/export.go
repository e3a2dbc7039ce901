package guest

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
	exLogPrefix
	exInstanceMade
	exStateVersion
	exSaveState
	exRestoreState
	exRestoreBuffer
	exports
)

// exportNames are the names in the contract: a test holds them to abi.Exports.
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
	exLogPrefix:              "logPrefix",
	exInstanceMade:           "instanceMade",
	exStateVersion:           "stateVersion",
	exSaveState:              "saveState",
	exRestoreState:           "restoreState",
	exRestoreBuffer:          "restoreBuffer",
}

func (e export) String() string { return exportNames[e] }
