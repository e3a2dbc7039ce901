package wirehost_test

import (
	"fmt"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// adder answers with the sum of all bytes that it got.
type adder struct {
	wirehost.Base
	sum int
}

func (a *adder) DataReceived(data []byte) {
	for _, b := range data {
		a.sum += int(b)
	}
	_, _ = a.Transport.Write(fmt.Appendf(nil, "%d\n", a.sum))
}

func buildAdder(*wirehost.Transport) wirehost.Protocol { return &adder{} }

// In a guest, Register stands in func init, and func main is empty. Here the
// protocol runs without a host, as in a unit test.
func Example() {
	s, err := sdktest.Start(wirehost.FactoryFunc(buildAdder), sdktest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := s.Accept()
	c.Send("\x01\x02")
	c.Send("\x03")
	fmt.Printf("%s", c.Take())
	// Output:
	// 3
	// 6
}
