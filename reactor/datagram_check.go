package reactor

// Check is Send's error for n records, at most MaxDatagrams, of which nothing is sent: for
// who sends many in parts.
func (d *DatagramSocket) Check(records []byte, n int) (err error) {
	for range n {
		var one Datagram
		if records, err = readDatagram(&one, records); err != nil {
			return err
		}
		if err = d.address(&one); err != nil {
			return err
		}
	}
	return nil
}
