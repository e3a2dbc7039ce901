package sdktest_test

import (
	"fmt"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// greeter greets by name, and closes after three seconds.
type greeter struct{ wirehost.LineOnlyReceiver }

func (g *greeter) LineReceived(name []byte) {
	_ = g.SendLine(append([]byte("hello "), name...))
}

func (g *greeter) ConnectionMade() { _ = g.Transport.SetTimeout(3 * time.Second) }

func Example() {
	factory := wirehost.FactoryFunc(func(*wirehost.Transport) wirehost.Protocol { return new(greeter) })
	s, err := sdktest.Start(factory, sdktest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := s.Accept()
	c.Send("ann\r\nbo")
	c.Send("b\r\n")
	fmt.Printf("%q\n", c.Take())
	s.Advance(3 * time.Second)
	fmt.Println(c.Ended())
	// Output:
	// "hello ann\r\nhello bob\r\n"
	// timeout true
}
