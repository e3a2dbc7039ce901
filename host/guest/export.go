package guest

import "github.com/wirehost/wirehost/abi"

// export numbers the guest's functions, so that their handles lie in an array.
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
	exStateVersion
	exSaveState
	exRestoreState
	exRestoreBuffer
	exports
)

var exportNames = [exports]string{
	abi.ExportInitialize, abi.ExportReceiveBuffer, abi.ExportStartFactory, abi.ExportStopFactory,
	abi.ExportBuildProtocol, abi.ExportConnectionMade, abi.ExportDataReceived, abi.ExportConnectionLost,
	abi.ExportReadConnectionLost, abi.ExportWriteConnectionLost, abi.ExportHandshakeCompleted,
	abi.ExportPauseProducing, abi.ExportResumeProducing, abi.ExportStopProducing, abi.ExportDelayedCall,
	abi.ExportClientConnectionFailed, abi.ExportLogPrefix, abi.ExportStateVersion, abi.ExportSaveState,
	abi.ExportRestoreState, abi.ExportRestoreBuffer,
}

func (e export) String() string { return exportNames[e] }
