// Made by `ringcast types ringcast.demo:registry` from the annotations of the actors; do not edit.

export interface Article {
  id: string;
  category: string;
  content: string;
  level: "public" | "premium";
}

export interface ArticleInput {
  id: string;
  category: string;
  content: string;
  level?: "public" | "premium";
}

/** All that a client needs to show the room. */
export interface ChatView {
  messages: Message[];
  present: string[];
}

/** All that a client needs to show the room. */
export interface GameView {
  started: boolean;
  places: { [key: string]: Place };
}

/** What a client may connect with: who says nothing is not shown to the others. */
export interface Guest {
  user_id?: string | null;
}

/** What a client connects with, and what its connection carries. */
export interface Member {
  player_id: string;
  role?: "player" | "spectator";
}

export interface Message {
  id: string;
  user_id: string;
  text: string;
  /** Seconds since the epoch of Unix. */
  sent_at: number;
}

export interface Move {
  player_id: string;
  place: Place;
}

export interface Place {
  x: number;
  y: number;
}

export interface PlaceInput {
  x?: number;
  y?: number;
}

/** One price. `round` counts from 1 how often the series has begun, `number` all prices so far. */
export interface Quote {
  symbol: string;
  /** A date, as ISO 8601. */
  date: string;
  price: number;
  round: number;
  number: number;
}

/** What a client connects with, and what its connection carries. */
export interface Reader {
  user_id: string;
  subscription?: "free" | "premium";
}

export interface Whisper {
  sender: string;
  text: string;
}

/** The actors: `createClient<Registry>(url)`. */
export interface Registry {
  /** `messageReceived` carries a message, `messageDeleted` the id of one, `presenceChanged` who is there. */
  chatRoom: {
    params: Guest | undefined;
    actions: {
      deleteMessage(message_id: string): void;
      history(): Message[];
      sendMessage(user_id: string, text: string): Message;
    };
    events: {
      messageReceived: [data: Message];
      messageDeleted: [data: string];
      presenceChanged: [data: string[]];
    };
    snapshot: ChatView;
  };
  /** Call its actions over a connection: who acts is known from the connection's parameters. */
  gameRoom: {
    params: Member;
    actions: {
      move(place: PlaceInput): void;
      places(): { [key: string]: Place };
      sendPrivateMessage(player_id: string, text: string): void;
      /** Return whether this call started the game; it starts once. */
      start(): boolean;
    };
    events: {
      gameStarted: [];
      playerJoined: [data: string];
      playerLeft: [data: string];
      playerMoved: [data: Move];
      privateMessage: [data: Whisper];
    };
    snapshot: GameView;
  };
  /** `newArticle` reaches every reader for a public article, premium readers only for a premium one. */
  newsRoom: {
    params: Reader;
    actions: {
      publicArticles(): Article[];
      publishArticle(article: ArticleInput): Article;
    };
    events: {
      newArticle: [data: Article];
    };
  };
  /** `price` carries a quote, from the moment the ticker starts for as long as it runs. */
  ticker: {
    actions: {
      /** Return the newest quote of one share, such as MSFT. */
      latest(symbol: string): Quote;
      /** Return the quotes of this round so far, oldest first. */
      played(): Quote[];
      /** Play so many events a second from the next event on; return what it was before. */
      setSpeed(speed: number): number;
    };
    events: {
      price: [data: Quote];
    };
  };
}
