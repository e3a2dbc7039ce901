package reactor

// SetShare has the socket's protocol take another owner's time from now on. Loop only.
func (d *DatagramSocket) SetShare(s *Share) { d.share = s }

// Check is Send's error for n records, at most MaxDatagrams, of which nothing is sent: for
// who sends many in parts.
func (d *DatagramSocket) Check(records []byte, n int) (err error) {
	for range n {
		var one Datagram
		if records, err = readDatagram(&one, records); err != nil {
			return err
		}
		if _, err = d.address(&one); err != nil {
			return err
		}
	}
	return nil
}
